"""What a person sees: the server's page in a real browser, without a window."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import open_browser
from served import NAMES, Client, draw, make_predictor, serving

STATE = """
const text = id => document.getElementById(id).textContent;
const seen = id => { const e = document.getElementById(id); return !!e.getClientRects().length; };
const loaded = id => { const e = document.getElementById(id); return seen(id) && e.complete && e.naturalWidth > 0; };
return {
  title: text('title'), answer: seen('answer') ? text('answer') : '', error: seen('error') ? text('error') : '',
  caption: text('caption'), image: loaded('seen'), heat: loaded('heat'), draw: seen('draw'), hint: text('draw-hint'),
  pressed: [...document.querySelectorAll('.bar[aria-pressed=true]')].map(e => e.dataset.name),
  bars: [...document.querySelectorAll('.bar')].map(e => [e.dataset.name, e.querySelector('.fill').style.width]),
  busy: document.getElementById('results').hasAttribute('aria-busy'),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile"), 1200, 1000) as driver:
        yield driver


def see(browser: Any, holds: Any) -> dict[str, Any]:
    """Wait until the page's state is as wanted, and return it."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    state: dict[str, Any] = {}

    def there(driver: Any) -> bool:
        state.update(driver.execute_script(STATE))
        return not state["busy"] and bool(holds(state))

    try:
        WebDriverWait(browser, 30, poll_frequency=0.05).until(there)
    except TimeoutException:
        pytest.fail(f"not seen: {state}")
    return state


def open_page(browser: Any, client: Client) -> None:
    browser.get("about:blank")
    browser.get(f"http://127.0.0.1:{client.port}/")
    see(browser, lambda page: page["title"] == "zoo/1")


def give(browser: Any, file: Path) -> None:
    browser.find_element("id", "file").send_keys(str(file))


def drop(browser: Any, size: int) -> None:
    """Drop a file on the page: an image that the page's own script makes, as no file can be dragged from outside."""
    browser.execute_async_script(
        """
        const done = arguments[1], canvas = document.createElement('canvas');
        canvas.width = canvas.height = arguments[0];
        canvas.toBlob(blob => {
          const data = new DataTransfer();
          data.items.add(new File([blob], 'dropped.png', {type: 'image/png'}));
          document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
          done();
        });
        """,
        size,
    )


@pytest.mark.slow
def test_a_person_gives_an_image_and_draws_one(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    predictor = make_predictor(channels=1)
    image = draw(2)
    image.save(tmp_path / "photo.png")
    (tmp_path / "notes.txt").write_text("hello")
    [expected] = predictor.predict(tmp_path / "photo.png")
    with serving(predictor) as client:
        open_page(browser, client)
        give(browser, tmp_path / "photo.png")
        page = see(browser, lambda page: page["heat"])
        assert page["answer"].startswith(f"{expected.label}: ")
        assert [name for name, _ in page["bars"]] == [name for name, _ in expected.top()]
        widths = [float(width.removesuffix("%")) / 100 for _, width in page["bars"]]
        assert widths == pytest.approx([share for _, share in expected.top()], abs=1e-5)
        assert page["pressed"] == [expected.label]
        assert expected.label in page["caption"]

        other = next(name for name in NAMES if name != expected.label)
        browser.find_element("css selector", f'.bar[data-name="{other}"]').click()
        page = see(browser, lambda page: page["pressed"] == [other])
        assert f"“{other}”" in page["caption"]
        browser.find_element("id", "show").click()
        see(browser, lambda page: page["image"] and not page["heat"])
        browser.find_element("id", "show").click()

        give(browser, tmp_path / "notes.txt")
        page = see(browser, lambda page: page["error"])
        assert page["error"].startswith("notes.txt: not an image")
        assert page["answer"] == ""

        assert "white on black" in page["hint"]
        canvas = browser.find_element("id", "canvas")
        ActionChains(browser).move_to_element(canvas).click_and_hold().move_by_offset(60, 50).release().perform()
        page = see(browser, lambda page: page["answer"] and page["heat"])
        assert page["error"] == ""
        drop(browser, 20)
        see(browser, lambda page: page["answer"] and page["heat"] and "dropped" in browser.page_source)
        for width in (1200, 360):
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
            )
            assert browser.execute_script(STATE)["wide"] <= 0, f"at {width} pixels the page is wider than the screen"
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_the_page_fits_the_net(browser: Any, tmp_path: Path) -> None:
    draw(2).save(tmp_path / "photo.png")
    with serving(make_predictor(several_labels=True)) as client:
        open_page(browser, client)
        give(browser, tmp_path / "photo.png")
        page = see(browser, lambda page: page["heat"])
        assert not page["draw"]
        found = client.post((tmp_path / "photo.png").read_bytes()).json["images"][0]["classes"]
        assert page["answer"] == (", ".join(found) or "None of the classes")
        client_gone = client
    give(browser, tmp_path / "photo.png")
    assert "Is it still running?" in see(browser, lambda page: page["error"])["error"], client_gone
