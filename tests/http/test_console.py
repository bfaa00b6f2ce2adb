"""The built-in page, in a real browser, from a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

import dvid
from dvid.http.console import console_file

SHAPE_ZYX = (32, 96, 128)
WHOLE = np.s_[0:32, 0:96, 0:128]
EVIL = '<img src=x onerror="document.title=1">'


# ---- the files --------------------------------------------------------------------------------------------------------


def test_the_page_allows_nothing_but_its_own_files() -> None:
    page = console_file("/")
    assert page is not None
    assert page.media_type.startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    body = bytes(page.body).decode()  # type: ignore[arg-type]
    assert "<style" not in body
    assert "style=" not in body
    assert "://" not in body, "the page names another server"
    assert body.count("<script") == body.count("<script type") == 1


@pytest.mark.parametrize("name", ["style.css", "main.js", "viewer.js", "icon.svg", "index.html"])
def test_files_have_their_media_types(name: str) -> None:
    reply = console_file("/" + name)
    assert reply is not None
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "html": "text/html"}
    assert reply.media_type.startswith(kinds[name.rpartition(".")[2]])


@pytest.mark.parametrize(
    "path",
    [
        "/__init__.py",
        "/../app.py",
        "/..%2fapp.py",
        "//etc/passwd",
        "/./main.js",
        "/main.js/",
        "/Main.js",
        "main.js",
        "",
    ],
)
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    assert console_file(path) is None


def test_a_copy_that_is_still_good_is_not_sent_again() -> None:
    first = console_file("/main.js")
    assert first is not None
    tag = first.headers["ETag"]
    again = console_file("/main.js", f'"other", W/{tag}')
    assert again is not None
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    other = console_file("/main.js", '"other"')
    assert other is not None
    assert other.status == 200


def test_a_server_serves_the_page_and_nothing_beside_it(client: Any) -> None:
    answer = client.simulate_get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    tag = answer.headers["etag"]
    assert client.simulate_get("/", headers={"If-None-Match": tag}).status_code == 304
    for path in ("/__init__.py", "/../app.py", "/nothing"):
        assert client.simulate_get(path).status_code == 404


# ---- the browser ------------------------------------------------------------------------------------------------------


def volume(seed: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth pattern with noise, uint8 (z, y, x), all values from 40 to 216."""
    z, y, x = np.indices(SHAPE_ZYX)
    noise = np.random.default_rng(seed).integers(-8, 9, SHAPE_ZYX)
    return (128 + 60 * np.sin(x / 9) * np.cos(y / 7 + z / 5) + noise).astype(np.uint8)


@dataclass
class Sample:
    """A store with two versions of a volume."""

    folder: Path
    root: str
    child: str
    other: str
    old: np.ndarray[Any, np.dtype[np.uint8]]
    new: np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Two versions of a volume that differ in a box, another branch, keys and values, and a bad alias."""
    folder = tmp_path / "store"
    old, new = volume(), volume()
    new[:, 30:50, 40:70] += 30
    with dvid.open(str(folder)) as library:
        library.create_repo(EVIL, "its alias tries to be HTML")
        repo = library.create_repo("Fly brain", "two versions of a volume")
        root = repo["master"]
        root.create("uint8blk", "gray")[WHOLE] = old
        root.create("keyvalue", "notes")
        root.commit("as it came")
        child = root.new_version("a box made brighter")
        child["gray"][WHOLE] = new
        child.commit()
        other = root.branch("other")
        other["gray"][WHOLE] = volume(2)
        other.commit()
    return Sample(folder, root.uuid, child.uuid, other.uuid, old, new)


def post(server: Any, path: str, body: bytes) -> bytes:
    """Change something over HTTP, with admin rights: they open committed nodes, too."""
    request = Request(f"{server.url}api/{path}", body, server.headers, method="POST")
    with urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed (Debian packages: chromium, chromium-driver)")
    options = ChromeOptions()
    options.binary_location = program
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "window-size=1400,1000",
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument("--" + argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driven = Chrome(options=options, service=Service(driver))
    yield driven
    driven.quit()


@pytest.fixture
def chrome(browser: Chrome) -> Chrome:
    """The browser, with nothing in it of the test before: no page, and nothing on its console."""
    browser.get("about:blank")
    browser.get_log("browser")
    return browser


@dataclass
class Reading:
    """What the page tells of the voxel under the pointer."""

    x: int
    y: int
    z: int
    values: list[str]
    bodies: list[str]


class Page:
    """The page in a browser."""

    def __init__(self, chrome: Chrome, url: str) -> None:
        self.chrome, self.url = chrome, url

    def open(self, query: str = "") -> Page:
        self.chrome.get(self.url + query)
        return self

    def wait(self, check: Callable[[], Any]) -> Any:
        """What `check` gives as soon as that is true."""
        return WebDriverWait(self.chrome, 60, 0.05, [StaleElementReferenceException]).until(lambda _: check())

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The one element, as soon as there is one."""
        return self.wait(lambda: self.all(selector) or None)[0]

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def until_text(self, selector: str, part: str) -> None:
        self.wait(lambda: any(part in element.text for element in self.all(selector)))

    def pixel(self, canvas: int, voxel_yx: tuple[int, int]) -> list[int]:
        """Red, green and blue where a voxel of a slice that fits its canvas is drawn."""
        return self.pixels(canvas, [voxel_yx])[0]

    def pixels(self, canvas: int, voxels_yx: list[tuple[int, int]]) -> list[list[int]]:
        """The same for several voxels."""
        found: list[list[int]] = self.chrome.execute_script(
            """const canvas = document.querySelectorAll("canvas")[arguments[0]];
            const [height, width] = arguments[2];
            const zoom = Math.min(canvas.width / width, canvas.height / height);
            return arguments[1].map(([y, x]) => {
                const at = [canvas.width / 2 + (x + 0.5 - width / 2) * zoom, canvas.height / 2 + (y + 0.5 - height / 2) * zoom];
                return Array.from(canvas.getContext("2d").getImageData(Math.round(at[0]), Math.round(at[1]), 1, 1).data).slice(0, 3);
            });""",
            canvas,
            voxels_yx,
            SHAPE_ZYX[1:],
        )
        return found

    def drawn(self) -> None:
        """Wait until the viewer has drawn all that it asked for, and counted what differs."""
        self.one('.viewer[aria-busy="false"]')

    def point_at_middle(self, shape_zyx: tuple[int, int, int] = SHAPE_ZYX) -> Reading:
        """Move the pointer to the middle of the first canvas, of a slice along xy that fits it; what the page tells."""
        canvas = self.one("canvas")
        self.chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        ActionChains(self.chrome).move_to_element(canvas).perform()
        return self.wait(lambda: self._told_of(shape_zyx[2] // 2, shape_zyx[1] // 2))

    def _told_of(self, wanted_x: int, wanted_y: int) -> Reading | None:
        # All at once: the page may draw it anew at any moment.
        place, values, bodies = self.chrome.execute_script(
            """return [".place", ".reading", ".body"].map(
                (part) => Array.from(document.querySelectorAll(`.readout ${part}`), (element) => element.textContent));"""
        )
        if not place:
            return None
        words = place[0].split()
        x, y, z = (int(words[words.index(axis) + 1]) for axis in "xyz")
        # Before it, the page may have told of where the pointer was in another test.
        return Reading(x, y, z, values, bodies) if max(abs(x - wanted_x), abs(y - wanted_y)) <= 1 else None

    def watch_requests(self, part: str, *, hold: bool = False) -> None:
        """Note the requests whose path holds ``part`` in ``window.noted``, and let them wait until ``window.release()``."""
        self.chrome.execute_script(
            """const [part, hold] = arguments;
            const [ask, gate] = [window.fetch, new Promise((open) => { window.release = open; })];
            window.noted = [];
            window.fetch = async (path, options) => {
                if (!path.includes(part)) return ask(path, options);
                const request = { path, signal: options.signal, begun: false };
                window.noted.push(request);
                if (hold) await gate;
                const answer = await ask(path, options);
                request.begun = true; // its body is still to come
                return answer;
            };""",
            part,
            hold,
        )

    def noted(self, what: str) -> list[Any]:
        """Something of each request that was noted, the oldest first."""
        found: list[Any] = self.chrome.execute_script(f"return window.noted.map((request) => request.{what})")
        return found

    def complaints(self) -> list[str]:
        """What the browser's console has to say."""
        found = [f"{entry['level']}: {entry['message']}" for entry in self.chrome.get_log("browser")]
        return [line for line in found if "willReadFrequently" not in line]  # `pixel` reads back; the page never does


@pytest.fixture
def page(chrome: Chrome, serve: Any, sample: Sample) -> Page:
    server = serve(sample.folder, workers=1)
    values = {"a/b c.json": b'{"evil":"<b>bold</b>"}', "binary": bytes(range(256)), "empty": b""}
    for key, value in values.items():
        post(server, f"node/{sample.root}/notes/key/{quote(key, safe='')}", value)
    return Page(chrome, server.url)


def both(sample: Sample, more: str = "") -> str:
    return f"?repo={sample.root}&name=gray&nodes={sample.root[:10]},{sample.child[:10]}&plane=xy&z=12{more}"


def test_repos_are_listed_and_their_names_are_never_html(page: Page) -> None:
    page.open()
    page.wait(lambda: len(page.all(".repo")) == 2)
    names = {element.text for element in page.all(".repo h2")}
    assert names == {EVIL, "Fly brain"}
    assert not page.all("main img")
    assert page.chrome.title == "dvid"
    assert page.complaints() == []


def test_a_person_gets_from_the_list_to_a_comparison_of_two_versions(page: Page, sample: Sample) -> None:
    page.open()
    next(e for e in page.wait(lambda: page.all(".repo")) if "Fly brain" in e.text).click()
    page.one('[data-name="gray"]').click()
    page.drawn()
    assert len(page.all("canvas")) == 1
    assert page.text(".pick[aria-pressed=true] code") == sample.child[:8], "the newest version of master is shown first"
    page.one(f'.compare[data-uuid="{sample.root}"]').click()
    page.wait(lambda: len(page.all("canvas")) == 2)
    page.drawn()
    assert f"nodes={sample.child},{sample.root}" in page.chrome.current_url
    page.chrome.back()
    page.wait(lambda: len(page.all("canvas")) == 1)
    assert page.complaints() == []


def test_a_link_shows_both_versions_voxel_for_voxel(page: Page, sample: Sample) -> None:
    page.open(both(sample))
    page.wait(lambda: len(page.all("canvas")) == 2)
    page.drawn()
    for y, x in ((5, 5), (40, 55), (90, 120)):
        for canvas, stored in enumerate((sample.old, sample.new)):
            gray = int(stored[12, y, x])
            assert page.pixel(canvas, (y, x)) == [gray] * 3
    assert page.complaints() == []


def test_the_value_under_the_pointer_is_the_stored_one_of_each_version(page: Page, sample: Sample) -> None:
    page.open(both(sample))
    page.wait(lambda: len(page.all("canvas")) == 2)
    page.drawn()
    told = page.point_at_middle()
    assert told.z == 12
    stored = [int(version[told.z, told.y, told.x]) for version in (sample.old, sample.new)]
    assert [int(value) for value in told.values] == stored


def test_the_difference_counts_the_changed_voxels(page: Page, sample: Sample) -> None:
    page.open(both(sample, "&show=difference"))
    differ = int(np.count_nonzero(sample.old[12] != sample.new[12]))
    assert differ == 600
    page.drawn()
    assert page.text(".status") == "600 of 12\u202f288 voxels in view differ"
    red, _, blue = page.pixel(0, (40, 55))
    assert red > blue, "voxels that became brighter are orange"
    red, green, blue = page.pixel(0, (5, 5))
    assert red == green == blue, "voxels that stayed are gray"
    assert page.complaints() == []


def test_keys_move_through_the_volume_and_the_address_follows(page: Page, sample: Sample) -> None:
    page.open(both(sample))
    page.drawn()
    page.all("canvas")[0].send_keys(Keys.PAGE_DOWN + Keys.PAGE_DOWN)
    page.wait(lambda: "z=14" in page.chrome.current_url)  # which is told after the slice is asked for
    page.drawn()
    assert page.pixel(0, (5, 5)) == [int(sample.old[14, 5, 5])] * 3
    page.one('.choice [data-value="xz"]').click()
    page.wait(lambda: "plane=xz" in page.chrome.current_url)
    page.drawn()
    assert page.text(".slice").strip() == "y"
    page.chrome.refresh()
    page.drawn()
    assert page.text(".status") == ""
    assert page.one('.choice [data-value="xz"]').get_attribute("aria-pressed") == "true"
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("typename", "dtype"),
    [("uint16blk", "u2"), ("uint32blk", "u4"), ("uint64blk", "u8"), ("float32blk", "f4"), ("rgba8blk", "u1")],
)
def test_voxels_of_every_kind_are_drawn(chrome: Chrome, serve: Any, tmp_path: Path, typename: str, dtype: str) -> None:
    shape = SHAPE_ZYX if typename != "rgba8blk" else (*SHAPE_ZYX, 4)
    values = (np.random.default_rng(3).random(shape) * 200 + 50).astype(dtype)
    with dvid.open(str(tmp_path / "store")) as library:
        node = library.create_repo("kinds")["master"]
        node.create(typename, "voxels")[WHOLE] = values
    page = Page(chrome, serve(tmp_path / "store", workers=1).url)
    page.open(f"?repo={node.uuid}&name=voxels&z=3")
    page.drawn()
    seen = {tuple(pixel) for pixel in page.pixels(0, [(y, x) for y in range(8, 80, 9) for x in range(8, 120, 9)])}
    assert len(seen) > 20, "noise is drawn in many shades"
    told = page.point_at_middle()
    shown = np.array([float(part) for part in told.values[0].split(", ")])
    np.testing.assert_allclose(shown, np.atleast_1d(values[3, told.y, told.x]), rtol=1e-6)
    assert page.complaints() == []


def test_a_version_far_down_a_long_tree_is_in_sight(chrome: Chrome, serve: Any, tmp_path: Path) -> None:
    with dvid.open(str(tmp_path / "store"), durability="relaxed") as library:
        node = root = library.create_repo("long")["master"]
        for number in range(230):
            node.commit(f"step {number}")
            node = node.branch(f"side {number}") if number % 50 == 7 else node.new_version()
    page = Page(chrome, serve(tmp_path / "store", workers=1).url).open(f"?repo={root.uuid}&nodes={root.uuid}")
    row = page.one(f'.pick[data-uuid="{root.uuid}"]')
    tree = page.one(".tree")
    assert tree.rect["y"] <= row.rect["y"] <= tree.rect["y"] + tree.rect["height"] - row.rect["height"]
    assert len(page.all(".tree circle")) == len(page.all(".tree .pick")) == 231
    assert len(page.all(".tree path")) == 230, "each version but the root has a line to its parent"
    page.open(f"?repo={root.uuid}&nodes={node.uuid}")
    page.until_text(".more", "Show all 231 versions")
    page.one(".more").click()
    page.wait(lambda: len(page.all(".tree .pick")) == 231)
    assert page.complaints() == []


def test_keys_and_values_are_shown_as_text(page: Page, sample: Sample) -> None:
    page.open(f"?repo={sample.root}&name=notes")
    page.wait(lambda: [e.text for e in page.all(".keys button")] == ["a/b c.json", "binary", "empty"])
    page.one('[data-key="a/b c.json"]').click()
    page.until_text(".value pre", '"evil": "<b>bold</b>"')
    assert not page.all(".value b")
    page.one('[data-key="binary"]').click()
    page.until_text(".value pre", "000000  00 01 02")
    page.one('[data-key="empty"]').click()
    page.until_text(".value", "0 bytes")
    page.one(".browser input").send_keys("bi")
    page.wait(lambda: [e.text for e in page.all(".keys button")] == ["binary"])


def test_the_value_of_the_key_chosen_last_is_shown_where_another_comes_later(page: Page, sample: Sample) -> None:
    page.open(f"?repo={sample.root}&name=notes")
    page.watch_requests("/key/binary", hold=True)
    page.one('[data-key="binary"]').click()
    page.wait(lambda: page.noted("path"))
    page.one('[data-key="a/b c.json"]').click()
    page.until_text(".value pre", '"evil": "<b>bold</b>"')
    assert page.noted("signal.aborted") == [True]
    # Whatever comes of the first one is there before the value of a third.
    page.chrome.execute_script("window.release()")
    page.one('[data-key="empty"]').click()
    page.until_text(".value h4", "empty")
    assert not page.all(".value .error")


def test_a_viewer_that_something_else_has_replaced_asks_for_nothing_more(page: Page, sample: Sample) -> None:
    page.open(f"?repo={sample.root}&name=notes")
    page.watch_requests("/raw/", hold=True)
    page.one('[data-name="gray"]').click()
    page.wait(lambda: len(page.noted("path")) == 1)
    assert page.one(".viewer").get_attribute("aria-busy") == "true"
    page.one('[data-name="notes"]').click()
    page.one('[data-key="binary"]')
    page.wait(lambda: page.noted("signal.aborted") == [True])
    assert page.complaints() == []


def test_what_is_wrong_is_said_where_it_is_wrong(page: Page, sample: Sample) -> None:
    page.open(f"?repo={sample.root}&name=gray&nodes=0123456789abcdef")
    page.until_text("#message", "no single version named 0123456789abcdef")
    page.open("?repo=0123456789abcdef")
    page.until_text("#message", "no repo with a version 0123456789abcdef")
    page.open(f"?repo={sample.root}&name=absent")
    page.until_text("#message", "no data instance named absent")


def test_a_refused_slice_shows_the_servers_own_words(chrome: Chrome, serve: Any, sample: Sample) -> None:
    server = serve(sample.folder, workers=1)
    body = {"mergeType": "conflict-free", "parents": [sample.child, sample.other], "note": "undecided"}
    merged = json.loads(post(server, f"repo/{sample.root}/merge", json.dumps(body).encode()))["child"]
    page = Page(chrome, server.url).open(f"?repo={sample.root}&name=gray&nodes={merged}")
    page.until_text(".frame .error", "inherits different values")
    page.open(f"?repo={sample.root}&name=gray&nodes={sample.child},{merged}&show=difference")
    page.drawn()
    assert "inherits different values" in page.text(".frame .error")
    assert page.text(".status") == "", "voxels that did not come are not told to be equal"


def test_the_page_fits_a_phone(page: Page, sample: Sample) -> None:
    metrics = {"width": 380, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    notes = f"?repo={sample.root}&name=notes&key=binary"
    try:
        for query, whole in (("", ".repo"), (both(sample), '.viewer[aria-busy="false"]'), (notes, ".value pre")):
            page.open(query)
            page.one(whole)
            assert page.chrome.execute_script("return document.documentElement.scrollWidth") <= 380
    finally:
        page.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.wait(lambda: page.chrome.execute_script("return innerWidth") > 380)


def test_every_control_has_a_name(page: Page, sample: Sample) -> None:
    page.open(both(sample))
    page.drawn()
    controls = page.all("button, input, canvas, a[href]")
    assert len(controls) > 20
    nameless = [element.get_attribute("outerHTML") for element in controls if not element.accessible_name]
    assert nameless == []


# ---- labels -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def segmented(sample: Sample) -> Sample:
    """The same with a segmentation: label 0 on the left, then bodies 7 and 2^40; at the other version they are one."""
    with dvid.open(str(sample.folder)) as library:
        root = library["Fly brain"][sample.root]
        node = root.branch("segmented")
        labels = np.zeros(SHAPE_ZYX, np.uint64)
        labels[:, :, 32:80], labels[:, :, 80:] = 7, 2**40
        node.create("labelmap", "bodies")[WHOLE] = labels
        node["gray"][WHOLE] = sample.old
        node.commit()
        child = node.new_version()
        child["bodies"].merge(7, [2**40])
        child.commit()
    return Sample(sample.folder, node.uuid, child.uuid, sample.other, sample.old, sample.old)


@pytest.fixture
def labelled(chrome: Chrome, serve: Any, segmented: Sample) -> Page:
    return Page(chrome, serve(segmented.folder, workers=1).url)


def test_bodies_lie_over_the_image_of_each_version(labelled: Page, segmented: Sample) -> None:
    page, gray = labelled, [int(segmented.old[12, 48, x]) for x in range(SHAPE_ZYX[2])]
    page.open(both(segmented, "&labels=bodies&opacity=100"))
    page.wait(lambda: len(page.all("canvas")) == 2)
    page.drawn()
    first, second = ([page.pixel(canvas, (48, x)) for x in (10, 50, 100)] for canvas in (0, 1))
    assert first[0] == second[0] == [gray[10]] * 3, "what belongs to no body is clear"
    assert first[1] != first[2], "two bodies have two colours"
    assert second[1] == second[2] == first[1], "merged, they have one: that of the body that is left"
    told = page.point_at_middle()
    assert told.values == [str(segmented.old[told.z, told.y, told.x])] * 2
    assert told.bodies == ["body 7", "body 7"]
    # Half clear, and then gone.
    slider = page.one('.overlay input[type="range"]')
    page.chrome.execute_script(
        "arguments[0].value = 50; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", slider
    )
    page.drawn()
    mixed = page.pixel(0, (48, 100))
    assert all(abs(a - (b + gray[100]) / 2) <= 1.5 for a, b in zip(mixed, first[2], strict=True))
    page.all("canvas")[0].send_keys("l")
    page.wait(lambda: "labels=" not in page.chrome.current_url)
    page.drawn()
    assert page.pixel(0, (48, 100)) == [gray[100]] * 3
    assert page.complaints() == []


def test_labels_are_switched_on_and_the_address_follows(labelled: Page, segmented: Sample) -> None:
    page = labelled
    page.open(both(segmented))
    page.drawn()
    before = page.pixel(0, (48, 100))
    page.one('.overlay input[type="checkbox"]').click()
    page.wait(lambda: "labels=bodies" in page.chrome.current_url)
    page.drawn()
    assert page.pixel(0, (48, 100)) != before
    page.chrome.refresh()
    page.drawn()
    assert page.pixel(0, (48, 100)) != before
    assert page.one('.overlay input[type="checkbox"]').is_selected()
    assert page.complaints() == []


def test_a_segmentation_is_shown_by_itself(labelled: Page, segmented: Sample) -> None:
    page = labelled
    page.open(f"?repo={segmented.root}&name=bodies&nodes={segmented.root},{segmented.child}&plane=xy&z=12")
    page.wait(lambda: len(page.all("canvas")) == 2)
    page.drawn()
    assert page.pixel(0, (48, 10)) == [0, 0, 0]
    assert page.pixel(0, (48, 50)) == page.pixel(1, (48, 50)) == page.pixel(1, (48, 100))
    assert not page.all(".overlay")
    assert page.point_at_middle().values == ["7", "7"]
    with urlopen(page.one(".below .links a").get_attribute("href"), timeout=60) as answer:
        assert answer.headers["Content-Type"] == "image/png"
    page.one('.choice [data-value="difference"]').click()
    page.wait(lambda: "show=difference" in page.chrome.current_url)
    page.drawn()
    assert page.text(".status") == "4\u202f608 of 12\u202f288 voxels in view differ"
    assert page.complaints() == []


def test_labels_that_were_given_up_while_they_came_are_asked_for_again(
    chrome: Chrome, serve: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    shape = (2, 512, 512)
    labels = random.choice(random.integers(1, 2**60, 1000, np.uint64), shape)  # noise, which is sent as many bytes
    with dvid.open(str(tmp_path / "store")) as library:
        node = library.create_repo("noise")["master"]
        node.create("labelmap", "bodies")[np.s_[0:2, 0:512, 0:512]] = labels
    page = Page(chrome, serve(tmp_path / "store", workers=1).url)
    page.open(f"?repo={node.uuid}&name=bodies&z=0")
    page.drawn()
    page.watch_requests("/bodies/raw/")
    slow = {"offline": False, "latency": 0, "uploadThroughput": -1, "downloadThroughput": 20_000}  # bytes per second
    chrome.execute_cdp_cmd("Network.enable", {})
    chrome.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    try:
        page.one("canvas").send_keys(Keys.PAGE_DOWN)
        page.wait(lambda: page.noted("begun") == [True])
        page.one("canvas").send_keys(Keys.PAGE_UP)
        page.wait(lambda: page.noted("signal.aborted") == [True])
        page.wait(lambda: "z=0" in chrome.current_url)
        page.drawn()
    finally:
        chrome.execute_cdp_cmd("Network.emulateNetworkConditions", {**slow, "downloadThroughput": -1})
        chrome.execute_cdp_cmd("Network.disable", {})
    assert not page.one(".frame .error").is_displayed()
    page.one("canvas").send_keys(Keys.PAGE_DOWN)
    page.wait(lambda: "z=1" in chrome.current_url)
    page.drawn()
    assert len(page.noted("path")) == 2
    told = page.point_at_middle(shape)
    assert told.values == [str(labels[told.z, told.y, told.x])]
    assert page.complaints() == []
