"""What a person sees: a running TensorBoard in a real browser, without a window."""

from collections.abc import Iterator
from typing import Any

import pytest
from browsers import open_browser

from cnnkit.runs import RunFolder

# The page's parts hide in shadow roots. Pictures and lines of charts count once they have loaded.
PAGE = """
const found = {text: '', images: 0, lines: 0};
const walk = node => {
  for (const child of node.childNodes) {
    if (child.nodeType === 3) found.text += child.textContent + '\\n';
    if (child.tagName === 'IMG' && child.complete && child.naturalWidth > 20) found.images += 1;
    if (child.tagName === 'path' && (child.getAttribute('d') || '').length > 10) found.lines += 1;
    if (['STYLE', 'SCRIPT', 'NOSCRIPT'].includes(child.tagName)) continue;
    if (child.shadowRoot) walk(child.shadowRoot);
    walk(child);
  }
};
walk(document.body);
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile"), 1300, 1600) as driver:
        yield driver


@pytest.fixture(scope="module")
def address(trained_once: RunFolder) -> str:
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(
        argv=[None, "--logdir", str(trained_once.path), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    )
    return board.launch()


def see(browser: Any, address: str, *texts: str, images: int = 0, lines: int = 0) -> None:
    """Open a page of TensorBoard and wait until all of that is there."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    page: dict[str, Any] = {}

    def there(driver: Any) -> bool:
        page.update(driver.execute_script(PAGE))
        return all(text in page["text"] for text in texts) and page["images"] >= images and page["lines"] >= lines

    browser.get("about:blank")  # else only the address's end changes, and the page of before stays
    browser.get(address)
    try:
        WebDriverWait(browser, 60, poll_frequency=0.25).until(there)
    except TimeoutException:
        missing = [text for text in texts if text not in page["text"]]
        pytest.fail(f"{address}: not seen: {missing}; {page['images']} pictures, {page['lines']} lines")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_browser_shows_charts_pictures_curves_and_embeddings(browser: Any, address: str) -> None:
    charts = ("training", "loss", "learning rate", "validation", "accuracy by class", "Matches (2)")
    see(browser, f"{address}#custom_scalars", *charts, lines=4)
    see(browser, f"{address}#images&tagFilter=val", "val/confusion", "val/mistakes", "val/reliability", images=3)
    see(browser, f"{address}#images&tagFilter=maps", "maps/features.0", "net/kernels", images=3)
    see(browser, f"{address}#pr_curves", "pr/Bag", "pr/Trouser")
    see(browser, f"{address}#hparams", "model.net", "hp/val_acc", "val/loss")
    see(browser, f"{address}data/plugin/projector/projector_binary.html", "penultimate", "500x16")
