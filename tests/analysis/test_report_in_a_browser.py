"""The report in a real browser: Chromium without a screen, driven by Selenium."""

import shutil
import time

import pytest

from keras_tricks.analysis import search_report
from tests.analysis.searches import searched

webdriver = pytest.importorskip("selenium.webdriver")
By = pytest.importorskip("selenium.webdriver.common.by").By
WebDriverException = pytest.importorskip("selenium.common").WebDriverException

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="there is no chromium with its chromedriver"
)
NARROW = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
# WebGL in software talks about itself.
HARMLESS = "GL Driver Message"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("headless=new", "no-sandbox", "disable-gpu", "no-first-run"),
        *("enable-unsafe-swiftshader", "window-size=1200,900"),
        *("disable-background-networking", "disable-component-update"),
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0}
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions", {**offline, "uploadThroughput": 0}
    )
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    tuner = searched(folder, trials=40)
    tuner.note("01", why="<script>document.title = 'changed'</script>")
    return search_report(tuner, folder / "report.html")


@pytest.fixture
def page(browser, path):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(path.as_uri())
    wait_until(lambda: is_ready(browser))
    return browser


def is_ready(browser):
    script = "return document.documentElement.dataset.ready"
    return browser.execute_script(script) == "yes"


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds(condition):
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.05)


def holds(condition):
    try:
        return condition()
    except WebDriverException:  # The page is being left.
        return False


def column(page, name):
    """Returns the texts of a column of the leaderboard."""
    script = """
        const table = document.querySelector("table.leaderboard");
        const names = [...table.tHead.rows[0].cells].map((c) => c.textContent);
        const place = names.indexOf(arguments[0]);
        const rows = [...table.tBodies[0].querySelectorAll("tr.trial")];
        return rows.map((row) => row.cells[place].dataset.value);
    """
    return page.execute_script(script, name)


def heading(page, name):
    path = f"//table[@class='leaderboard']//th/button[text()='{name}']"
    return page.find_element(By.XPATH, path)


def test_it_loads_without_errors_and_offline(page):
    log = [e for e in page.get_log("browser") if HARMLESS not in e["message"]]
    assert log == []
    assert page.title == "known"
    drawn = page.execute_script(
        "return [...document.querySelectorAll('.figure')]"
        ".filter((e) => e.offsetParent !== null)"
        ".every((e) => e.querySelector('.main-svg') !== null)"
    )
    assert drawn


def test_the_leaderboard_is_sorted(page):
    assert [int(rank) for rank in column(page, "rank") if rank][:3] == [1, 2, 3]
    for order in (1, -1):
        page.execute_script("arguments[0].click()", heading(page, "rate"))
        rates = [float(rate) for rate in column(page, "rate")]
        assert rates == sorted(rates, reverse=order < 0)
    # Trials without a score have no rank: they come last either way.
    for _ in range(2):
        page.execute_script("arguments[0].click()", heading(page, "rank"))
        ranks = column(page, "rank")
        known = [rank for rank in ranks if rank]
        assert ranks[: len(known)] == known


def test_a_row_opens_its_record(page):
    button = page.find_elements(By.CSS_SELECTOR, "button.open")[0]
    record = page.find_elements(By.CSS_SELECTOR, "tr.record")[0]
    assert not record.is_displayed()
    page.execute_script("arguments[0].click()", button)
    assert record.is_displayed()
    assert button.get_attribute("aria-expanded") == "true"
    assert "rate (setting)" in record.text
    # It stays with its row.
    page.execute_script("arguments[0].click()", heading(page, "dropout"))
    above = page.execute_script(
        "return arguments[0].previousElementSibling.querySelector('button')", record
    )
    assert above == button
    page.execute_script("arguments[0].click()", button)
    assert not record.is_displayed()


def test_the_theme_changes(page):
    def ground():
        return page.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )

    before = ground()
    button = page.find_element(By.CSS_SELECTOR, "button.theme")
    button.click()
    assert ground() != before
    button.click()
    assert ground() == before


def test_a_narrow_window_scrolls_only_downwards(page):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", NARROW)
    wide = "return document.documentElement.scrollWidth"
    wait_until(lambda: page.execute_script(wide) == NARROW["width"])


def test_it_is_accessible(page):
    """axe-core finds nothing, in either theme, with everything unfolded."""
    axe = pytest.importorskip("axe_core_python.selenium").Axe()
    page.execute_script(
        "document.querySelectorAll('details').forEach(e => e.open = true)"
    )
    for _ in range(2):
        page.find_element(By.CSS_SELECTOR, "button.theme").click()
        found = axe.run(page)["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_it_reloads_itself_where_it_was(browser, path, tmp_path):
    running = search_report(
        path.parent / "known", tmp_path / "r.html", reload_seconds=10
    )
    browser.get(running.as_uri())
    wait_until(lambda: is_ready(browser))
    browser.execute_script("window.scrollTo(0, 500); window.before = true")
    # A script that runs while the page is being left is never answered.
    browser.set_script_timeout(2)
    wait_until(lambda: not browser.execute_script("return window.before === true"))
    wait_until(lambda: browser.execute_script("return window.scrollY") == 500)
