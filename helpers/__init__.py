"""What the notebooks of the course import, and nothing else.

    from helpers import data, plots
    from helpers.doctor import doctor
    from helpers.progress import progress
"""
