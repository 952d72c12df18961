import pytest
from made_page import a_notebook

from qtlib.report import page


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The page of a whole run, and how many charts it should have."""
    folder = tmp_path_factory.mktemp("report")
    charts = a_notebook(folder / "notebook.ipynb")
    title = "A run & <its> report"
    return page.export(folder / "notebook.ipynb", folder / "report.html", title=title, simulated="Seed 7."), charts
