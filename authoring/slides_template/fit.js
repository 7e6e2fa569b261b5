// Lay out each page so that it fits, and so that its smallest text is as large as possible: text and figures share the room.
// Figures stand beside the text or below it, the text in one column or two; each is tried, with falling font sizes.

const LARGEST = 34, SMALLEST = 15;              // font size of text, in pixels of a slide that is 1280 wide
const FIGURE_FONT = 15, FIGURE_WANTED = 18;     // font size inside a figure: in its own pixels, and on the slide
const BELOW = [["below", ""], ["columns", ""]];
const BESIDE = ["36%", "43%", "50%", "57%"].map(share => ["beside", share]);

function overflows(page) {
  const boxes = [page, ...page.querySelectorAll(".body, .figures, pre, table")];
  if (boxes.some(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)) return true;
  const floor = page.getBoundingClientRect().bottom - parseFloat(getComputedStyle(page).paddingBottom) + 1;
  if ([...page.children].some(e => e.getBoundingClientRect().bottom > floor)) return true;
  return [...page.querySelectorAll(".body pre, .body table, .body math")].some(e => {
    const around = e.parentElement.closest(".body, .body > *").getBoundingClientRect();
    return e.getBoundingClientRect().right > around.right + 1;
  });
}

// How much the smallest figure is enlarged.
function enlargement(page) {
  const scales = [...page.querySelectorAll(".figures img")].map(img =>
    Math.min(img.clientWidth / img.getAttribute("width"), img.clientHeight / img.getAttribute("height")));
  return Math.min(...scales);
}

// Formulas on their own line and code do not wrap: what is a little too wide is drawn smaller. Returns the smallest factor.
function shrinkWide(page) {
  page.style.setProperty("--code-scale", 1);
  let smallest = 1;
  for (const math of page.querySelectorAll(".body .formulas math")) {
    math.style.fontSize = "";
    const scale = Math.max(0.7, math.parentElement.clientWidth / math.getBoundingClientRect().width);
    if (scale < 1) math.style.fontSize = 0.98 * scale + "em";
    smallest = Math.min(smallest, scale);
  }
  const code = Math.min(1, ...[...page.querySelectorAll(".body pre")].map(pre => pre.clientWidth / pre.scrollWidth));
  if (code < 1) page.style.setProperty("--code-scale", Math.max(0.7, 0.98 * code));
  return Math.min(smallest, Math.max(0.7, code));
}

function apply(page, [layout, share], size) {
  page.className = "page " + layout;
  page.style.setProperty("--text-share", share);
  page.style.setProperty("--text-size", size + "px");
  return shrinkWide(page);
}

// By halving the range, since every page is laid out many times. 0 if even the smallest text is too large.
function largestThatFits(page, layout) {
  const fits = size => { apply(page, layout, size); return !overflows(page); };
  if (fits(LARGEST)) return LARGEST;
  if (!fits(SMALLEST)) return 0;
  let low = SMALLEST, high = LARGEST;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle; else high = middle;
  }
  return low;
}

function fit(page) {
  const sections = [page.parentElement, page.parentElement.parentElement];
  sections.forEach(e => e.classList.add("measured"));
  for (const table of page.querySelectorAll("table")) {
    const names = [...table.querySelectorAll("td:first-child")].map(e => e.textContent.trim().length);
    table.classList.toggle("short-names", Math.max(...names) <= 20);
  }
  const figures = page.querySelectorAll(".figures img").length, body = page.querySelector(".body");
  const layouts = [...(body && body.children.length > 1 ? BELOW : BELOW.slice(0, 1)), ...(body && figures === 1 ? BESIDE : [])];
  let best = null;
  for (const layout of layouts) {
    for (let size = largestThatFits(page, layout); size >= SMALLEST; size--) {
      const shrunk = apply(page, layout, size);
      const text = size / LARGEST * (1 + shrunk) / 2;
      const figure = figures ? enlargement(page) * FIGURE_FONT / FIGURE_WANTED : 1;
      // the smaller of the two counts most; a second column must be worth it
      const score = Math.min(text, figure) + 0.2 * (text + Math.min(figure, 1.5)) - (layout[0] === "columns" ? 0.05 : 0);
      if (!best || score > best.score) best = { layout, size, score };
      if (figure >= text || layout[0] === "beside") break;   // smaller text would gain nothing
    }
  }
  if (best) apply(page, best.layout, best.size);
  page.dataset.fits = best ? "yes" : "no";
  sections.forEach(e => e.classList.remove("measured"));
}

async function start() {
  const faces = ["400 20px", "600 20px", "italic 400 20px", "italic 600 20px"];
  await Promise.all(faces.map(face => document.fonts.load(face + " 'Source Sans Pro'")));
  document.querySelectorAll(".page").forEach(fit);
  await Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0, center: false, hash: true, slideNumber: "c/t", transition: "none",
    controlsTutorial: false, pdfSeparateFragments: false, plugins: [RevealNotes],
  });
  document.documentElement.dataset.ready = "yes";
}
start();
