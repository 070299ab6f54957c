"""Draws the first screen of a report, for docs/after-a-search.md.

python docs/make_report_picture.py REPORT.html [--output FOLDER]

It needs Chromium with its driver, and Selenium.
"""

import argparse
import pathlib
import shutil
import time

from selenium import webdriver


def main():
    """Opens the page in a browser without a screen, and takes a picture of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, default="docs/images")
    arguments = parser.parse_args()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for name in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{name}")
    options.add_argument("--window-size=1000,1000")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as browser:
        browser.get(arguments.report.resolve().as_uri())
        ready = "return document.documentElement.dataset.ready"
        while browser.execute_script(ready) != "yes":
            time.sleep(0.1)
        time.sleep(1.0)  # Plotly moves its axes into place.
        browser.save_screenshot(str(arguments.output / "report.png"))


if __name__ == "__main__":
    main()
