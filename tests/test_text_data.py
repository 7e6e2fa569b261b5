"""The loaders of texts and reviews: whole files, cut ones, pairs that do not go together, and their stand-ins."""

from pathlib import Path

import pytest

from helpers import data, texts
from helpers.texts import UnusableText


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, a class's folder, and no network."""
    folder = tmp_path / "class"
    folder.mkdir()
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.delenv("COURSE_PUBLISH", raising=False)
    return folder


def put(folder: Path, file: str, content: bytes) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)


def test_a_novel_has_newlines_of_one_kind(places, capsys):
    put(places, data.ANNA_FILE, b"All happy families\r\nare alike.\r\n" * 4_000)
    novel = data.anna()
    assert novel.text == "All happy families\nare alike.\n" * 4_000
    assert novel.source == "folder"
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("content, says", [(b"All happy", "cut off"), (b"\xff\xfe" * 90_000, "not UTF-8")])
def test_a_bad_novel_gives_the_stand_in(content, says, places, capsys):
    put(places, data.SHAKESPEARE_FILE, content)
    novel = data.shakespeare()
    assert novel.source == "standin"
    assert len(novel.text) > 400_000
    assert says in capsys.readouterr().out


def test_no_novel_gives_the_stand_in_of_both():
    assert data.anna().text == data.shakespeare().text == texts.python_documentation()


def test_own_text(tmp_path, capsys):
    (tmp_path / "diary.txt").write_text("Dear diary,\n", encoding="utf-8")
    assert data.own_text(tmp_path / "diary.txt").text == "Dear diary,\n"
    assert "diary.txt" in capsys.readouterr().out
    with pytest.raises(UnusableText):
        data.own_text(tmp_path / "nowhere.txt")


def test_reviews(places, capsys):
    put(places, data.REVIEW_FILES[0], b"good film\nbad film\n")
    put(places, data.REVIEW_FILES[1], b"positive\nnegative\n")
    films = data.reviews()
    assert (films.reviews, films.labels, len(films)) == ("good film\nbad film\n", "positive\nnegative\n", 2)
    assert films.source == "folder"
    assert "2 reviews" in capsys.readouterr().out


@pytest.mark.parametrize("labels, says", [
    (b"positive\n", "do not go together"), (b"positive\nneutral\n", "the words positive"),
])
def test_reviews_that_do_not_fit_give_the_stand_in(labels, says, places, capsys):
    put(places, data.REVIEW_FILES[0], b"good film\nbad film\n")
    put(places, data.REVIEW_FILES[1], labels + b"negative\n" * (says == "do not go together") * 2)
    films = data.reviews()
    assert films.source == "standin"
    assert len(films) == 5_000
    assert says in capsys.readouterr().out


def test_sentences_are_sorted(places):
    put(places, data.SENTENCE_FILES[0], "café good\nfine\n".encode())
    put(places, data.SENTENCE_FILES[1], b"bad\n")
    films = data.sentences()
    assert films.reviews == "café good\nfine\nbad\n"
    assert films.labels == "positive\npositive\nnegative\n"


def test_half_of_the_sentences_is_none(places, capsys):
    put(places, data.SENTENCE_FILES[0], b"good\n")
    assert data.sentences().source == "standin"
    assert "rt-polarity.neg is missing" in capsys.readouterr().out


def test_a_download_lands_in_the_cache(places, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")

    def fetch(addresses, target, **options):
        assert "anna.txt" in addresses[0]
        assert options["md5"]
        put(target.parent, target.name, b"All happy families\r\n" * 9_000)
        return target

    monkeypatch.setattr(data, "fetch", fetch)
    assert data.anna().source == "download"
    assert (tmp_path / "cache" / data.ANNA_FILE).is_file()
    assert data.anna().source in ("cache", "download")


def test_each_download_says_where_from():
    for dataset in data.DATASETS.values():
        for file in dataset.files if dataset.download else ():
            assert file in (data.PUBLISHED_TEXTS | data.PUBLISHED_PICTURES) or "ubyte" in file or dataset.name == "cifar10"
