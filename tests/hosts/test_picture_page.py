"""The page with the picture of a run, in a real browser under a real host of MCP Apps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rpc_server.mcp.picture.app import page as page_html
from rpc_server.mcp.picture.drawing import picture_of
from schemas.runs import RunEvent
from tests.hosts.browser import Browser
from tests.hosts.browser_methods import chain, mixed
from tests.support.client import RpcClient
from tests.support.mcp_client import serve_mcp
from tests.support.mcp_schemas import LATEST_LEGACY, MODERN
from tests.support.mthds_server import serve

WORDS = {"concept": "Text", "content": [{"text": "x"}, {"text": "y"}, {"text": "z"}]}
HOSTILE = '<img src=x onerror="document.title=1"></script><script>document.title=1</script>'
RUN = "run-1"
APPS = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}

_LUMINANCE = """((selector) => {
    const [r, g, b] = getComputedStyle(document.querySelector(selector)).backgroundColor.match(/[\\d.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
})"""
_OVERLAPS = """(() => {
    const leaves = [...document.querySelectorAll('.leaf .frame')].map((frame) => frame.getBoundingClientRect());
    return leaves.flatMap((a, i) => leaves.slice(i + 1).filter((b) =>
        a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
})()"""
_TEXT_OUTSIDE = """[...document.querySelectorAll('#stage .node')].filter((node) => {
    const frame = node.querySelector('.frame').getBoundingClientRect();
    return [...node.querySelectorAll('text')].some((text) => text.getBoundingClientRect().right > frame.right);
}).map((node) => node.dataset.id)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser.launch(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("server")) as client:
        yield client


def graph_of(server: RpcClient, text: str) -> dict[str, Any]:
    verdict = server.result("validate", {"files": {"main.mthds": text}, "include": ["graph"]})
    return dict(verdict["graph_spec"])


def events_of(server: RpcClient, text: str, inputs: dict[str, Any]) -> list[RunEvent]:
    """What a run tells, from its first event to its last."""
    token = f"token-{len(server.messages)}"
    server.result("execute", {"files": {"main.mthds": text}, "inputs": inputs, "_meta": {"progressToken": token}})
    told = [note["params"] for note in server.notifications if note["params"]["progressToken"] == token]
    return [RunEvent.model_validate(params["data"]) for params in told]


def node(id: str, status: str = "pending", parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id, "label": id, "kind": "PipeCompose", "parent": parent, "status": status, **more}


def picture(*nodes: dict[str, Any], state: str | None = "RUNNING", **more: Any) -> dict[str, Any]:
    """A small picture; the nodes one after another."""
    ids = [each["id"] for each in nodes]
    flows = [
        {"source": a, "target": b, "label": "it: Text", "kind": "data"} for a, b in zip(ids, ids[1:], strict=False)
    ]
    counts = {"completed": sum(each["status"] == "completed" for each in nodes)}
    about = {"title": "small", "run_id": RUN, "state": state, "counts": counts}
    return {**about, "nodes": list(nodes), "edges": flows, **more}


def test_the_page_is_one_small_document_that_needs_nothing_else() -> None:
    html = page_html()

    assert html.startswith("<!doctype html>")
    assert len(html.encode()) < 150_000
    assert not [word for word in ("sourceMappingURL", "/* part:", "http://", "https://", "eval(", "innerHTML")
                if word in html.replace("http://www.w3.org/2000/svg", "")]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_a_method_of_3_pipes_is_drawn_legibly(browser: Browser, server: RpcClient, scheme: str, width: int) -> None:
    drawn = picture_of(graph_of(server, chain(3)))
    page = browser.open(width=width, scheme=scheme)

    page.show(drawn)

    assert page.text("#title") == "all"
    assert page.text("#counts") == "4 steps"
    assert page.get("[...document.querySelectorAll('.leaf .name')].map((name) => name.textContent)") == [
        "step_1",
        "step_2",
        "step_3",
    ]
    assert page.get("[...document.querySelectorAll('.flow')].map((flow) => flow.textContent)") == [
        "text_1: Text",
        "text_2: Text",
    ]
    assert page.get(_OVERLAPS) == 0
    assert page.get(_TEXT_OUTSIDE) == []
    assert page.get("document.documentElement.scrollWidth <= innerWidth")
    page.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
@pytest.mark.parametrize(("method", "nodes"), [(chain(59), 60), (mixed(6), 62)], ids=["chain", "mixed"])
def test_a_method_of_60_pipes_is_drawn_without_overlaps(
    browser: Browser, server: RpcClient, scheme: str, width: int, method: str, nodes: int
) -> None:
    drawn = picture_of(graph_of(server, method))
    page = browser.open(width=width, scheme=scheme)

    page.show(drawn)

    assert len(page.statuses()) == nodes
    assert page.get(_OVERLAPS) == 0
    assert page.get(_TEXT_OUTSIDE) == []
    assert page.get("document.documentElement.scrollWidth <= innerWidth")
    page.check()


def test_fit_shows_all_60_pipes_at_once(browser: Browser, server: RpcClient) -> None:
    page = browser.open(width=500)
    page.show(picture_of(graph_of(server, mixed(6))))

    page.click("#fit")

    outside = """(() => {
        const stage = document.querySelector('#stage').getBoundingClientRect();
        return [...document.querySelectorAll('#stage .frame')].map((frame) => frame.getBoundingClientRect()).filter(
            (r) => r.left < stage.left || r.right > stage.right || r.top < stage.top || r.bottom > stage.bottom).length;
    })()"""
    assert page.get(outside) == 0


def test_a_method_of_500_pipes_is_drawn(browser: Browser) -> None:
    steps = [node(f"step {number}", parent="all") for number in range(500)]
    page = browser.open()

    page.show(picture(node("all"), *steps))

    assert page.get(_OVERLAPS) == 0
    page.check()


def test_the_nodes_change_colour_as_a_real_run_goes_on(browser: Browser, server: RpcClient) -> None:
    method = mixed(1)
    graph, events = graph_of(server, method), events_of(server, method, {"word": "abc", "words": WORDS})
    at_side = next(n for n, event in enumerate(events) if event.pipe == "mixed.sides_1_left")

    def picture_after(count: int, state: str) -> dict[str, Any]:
        return picture_of(graph, events[:count], title="mixed", run_id=RUN, state=state)

    page = browser.open(capabilities={"serverResources": {}})
    page.news(picture_after(at_side + 1, "RUNNING"))
    page.show(picture_after(1, "RUNNING"))
    assert set(page.statuses().values()) == {"pending"}

    left = "mixed.all/step_1/step_1/branch_1"
    page.has_status(left, "running")
    page.news(picture_after(len(events), "COMPLETED"))
    page.has_status(left, "completed")

    statuses = page.statuses()
    assert statuses["mixed.all"] == "completed"
    assert [id for id, status in statuses.items() if status == "skipped"] == ["mixed.all/step_1/step_2/outcome_short"]
    assert page.text('[data-id="mixed.all/step_2/item"] .times') == "×3"
    assert page.text("#state") == "Completed"
    assert page.asked(1)[0] == {"method": "resources/read", "uri": f"mthds://runs/{RUN}/picture"}
    page.check()


@pytest.mark.parametrize("version", [MODERN, LATEST_LEGACY])
def test_what_the_server_answers_to_a_host_with_apps_is_drawn(browser: Browser, tmp_path: Path, version: str) -> None:
    page = browser.open(capabilities={"serverResources": {}})
    with serve_mcp(tmp_path) as server:
        if version != MODERN:
            server.initialize(version, capabilities=APPS)
        apps = {"capabilities": APPS} if version == MODERN else {}
        arguments = {"files": {"main.mthds": chain(3)}, "inputs": {"word": "a"}}
        verdict = server.tool("validate", {"files": arguments["files"]}, **apps)
        result = server.tool("execute", arguments, **apps)
        [text] = server.mcp("resources/read", {"uri": "ui://mthds-rpc/picture.html"}, **apps)["contents"]

    assert text["text"] == page_html()
    page.result(_meta=verdict["_meta"])
    page.has_status("chain.all/step_3", "pending")
    page.result(_meta=result["_meta"], structuredContent=result["structuredContent"])
    page.has_status("chain.all/step_3", "completed")
    assert set(page.statuses().values()) == {"completed"}
    page.check()


def test_the_page_asks_no_more_once_the_run_has_ended(browser: Browser) -> None:
    page = browser.open(capabilities={"serverResources": {}})
    page.news(picture(node("one", "completed"), state="COMPLETED"))
    page.show(picture(node("one", "running")))

    page.until("document.querySelector('#state').textContent === 'Completed'")

    page.show(picture(node("one", "completed"), state="COMPLETED"))
    assert len(page.asked(1)) == 1


def test_the_page_asks_by_a_tool_where_the_host_reads_no_resources(browser: Browser) -> None:
    page = browser.open(capabilities={"serverTools": {}})
    done = {"content": [], "_meta": {"mthds-rpc/picture": picture(node("one", "completed"), state="COMPLETED")}}
    browser.command("news", calls=done)
    page.show(picture(node("one", "running")))

    page.has_status("one", "completed")

    assert page.asked(1) == [{"method": "tools/call", "name": "run_status", "arguments": {"run_id": RUN}}]


def test_where_reading_fails_the_tool_is_asked_next(browser: Browser) -> None:
    page = browser.open(capabilities={"serverTools": {}, "serverResources": {}})
    done = {"content": [], "_meta": {"mthds-rpc/picture": picture(node("one", "completed"), state="COMPLETED")}}
    browser.command("news", calls=done)
    page.show(picture(node("one", "running")))

    page.has_status("one", "completed")

    assert [asked["method"] for asked in page.asked(2)] == ["resources/read", "tools/call"]


def test_a_result_with_a_run_id_alone_has_its_picture_read(browser: Browser) -> None:
    page = browser.open(capabilities={"serverResources": {}})
    page.news(picture(node("one", "completed"), state="COMPLETED"))

    page.result(structuredContent={"pipeline_run_id": "run/7"})

    page.has_status("one", "completed")
    assert page.asked(1)[0]["uri"] == "mthds://runs/run%2F7/picture"


def test_a_host_that_offers_no_news_gets_the_picture_as_it_was(browser: Browser) -> None:
    page = browser.open()

    page.show(picture(node("one", "running")))

    assert page.text("#state") == "Running, as of the last answer"
    assert page.asked(0) == []
    page.check()


def test_the_page_says_so_where_there_is_no_picture(browser: Browser) -> None:
    page = browser.open()
    page.result(structuredContent={"runs": []})
    page.until("document.querySelector('#notice').textContent.startsWith('There is no picture')")

    page.result(structuredContent={"pipeline_run_id": RUN})
    page.until("document.querySelector('#notice').textContent.startsWith('No picture came with this answer')")

    assert not page.is_shown("#stage")
    assert not page.is_shown("#legend")
    page.check()


def test_the_page_says_so_where_the_method_has_no_graph(browser: Browser) -> None:
    page = browser.open()

    page.show(picture(state=None))

    assert page.text("#notice").startswith("There is no graph to draw")


def test_a_failed_call_without_a_picture_shows_what_the_server_said(browser: Browser) -> None:
    page = browser.open()

    page.result(isError=True, content=[{"type": "text", "text": HOSTILE}])

    page.until(f"document.querySelector('#notice').textContent === {json.dumps(HOSTILE)}")
    page.check()


def test_what_is_no_picture_is_not_drawn(browser: Browser) -> None:
    page = browser.open()
    page.show(picture(node("one", "completed"), state="COMPLETED"))

    page.result(_meta={"mthds-rpc/picture": {"nodes": "none"}})

    page.until("document.querySelector('#notice').textContent.startsWith('There is no picture')")
    page.check()


def test_a_window_that_is_no_host_leaves_the_page_in_peace(browser: Browser) -> None:
    page = browser.open(mayAnswer=False)

    assert page.text("#notice") == "Waiting for the run…"
    page.check()


def test_a_failed_step_shows_its_error_when_clicked(browser: Browser) -> None:
    reason = "The pipe 'two' failed: it was given nothing."
    failed = node("two", "failed", detail=reason, description="Does it", times=2)
    page = browser.open()
    page.show(picture(node("one", "completed"), failed, state="FAILED", detail="The run failed."))

    page.click('[data-id="two"]')

    assert page.text("#problem") == "The run failed."
    assert page.text("#details h2") == "two"
    assert page.text("#details .about") == "PipeCompose · failed · ran 2 times"
    assert page.text("#details .reason") == reason
    assert page.text("#details .description") == "Does it"
    page.check()


def test_a_step_shows_what_went_in_and_out(browser: Browser) -> None:
    flows = {
        "inputs": [{"name": "word", "concept": "Text", "value": "hello"}],
        "outputs": [{"name": "loud", "concept": "Shout[]"}],
    }
    page = browser.open()
    page.show(picture(node("one", "completed", **flows), state="COMPLETED"))

    page.click('[data-id="one"]')

    sections = page.get("[...document.querySelectorAll('#details section')].map((section) => section.textContent)")
    assert sections[1:] == ["InwordTexthello", "OutloudShout[]"]


def test_hostile_text_stays_text(browser: Browser) -> None:
    value = {"name": HOSTILE, "concept": HOSTILE, "value": HOSTILE}
    everything = {"label": HOSTILE, "kind": HOSTILE, "description": HOSTILE, "detail": HOSTILE}
    bad = {**node("bad", "failed"), **everything, "inputs": [value], "outputs": [value]}
    edge = {"source": "one", "target": "bad", "label": HOSTILE, "kind": HOSTILE}
    page = browser.open()
    page.show(picture(node("one"), bad, edges=[edge], title=HOSTILE, state="FAILED", detail=HOSTILE))

    page.click('[data-id="bad"]')

    assert page.text("#title") == HOSTILE
    assert page.text("#details h2") == HOSTILE
    assert page.get("document.querySelectorAll('img, main script').length") == 0
    assert page.get("document.title") != "1"
    page.check()


def test_unknown_states_and_kinds_of_a_newer_server_are_drawn_all_the_same(browser: Browser) -> None:
    page = browser.open()

    page.show(picture(node("one", "meditating"), node("two", parent="gone"), state="DREAMING", counts=None))

    assert page.statuses() == {"one": "pending", "two": "pending"}
    page.check()


def test_the_keyboard_reaches_every_step_and_all_that_the_mouse_does(browser: Browser) -> None:
    page = browser.open()
    page.show(picture(node("one"), node("two", detail="Why"), node("three")))
    page.get("document.querySelector('#fit').focus()")
    title = "document.querySelector('#details h2').textContent"

    page.press("Tab")
    page.until(f"{title} === 'one'")
    page.press("ArrowRight")
    page.until(f"{title} === 'two'")
    page.press("End")
    page.until(f"{title} === 'three'")
    page.press("Home", "ArrowDown")
    page.until(f"{title} === 'two'")
    assert page.get("document.activeElement.dataset.id") == "two"
    assert page.get("document.activeElement.getAttribute('aria-label')") == "two, PipeCompose, pending"

    before = page.get("document.querySelector('#stage svg > g').getAttribute('transform')")
    page.press("+")
    assert page.get("document.querySelector('#stage svg > g').getAttribute('transform')") != before
    page.press("0")
    assert page.get("document.querySelector('#stage svg > g').getAttribute('transform')") == before

    page.press("Escape")
    assert not page.is_shown("#details")
    page.press("End")
    page.until(f"{title} === 'three'")
    page.check()


def test_news_of_the_run_leaves_focus_and_choice_where_they_are(browser: Browser) -> None:
    page = browser.open()
    page.show(picture(node("one"), node("two")))
    page.click('[data-id="two"]')

    page.show(picture(node("one", "completed"), node("two", "running")))

    page.has_status("two", "running")
    assert page.text("#details .about") == "PipeCompose · running"
    assert page.get("document.activeElement.dataset.id") == "two"


def test_the_hosts_theme_counts_more_than_the_machines(browser: Browser) -> None:
    page = browser.open(scheme="light", context={"theme": "dark"})
    page.show(picture(node("one")))
    assert page.get(f"{_LUMINANCE}('body')") < 0.3

    browser.command("context", params={"theme": "light"})

    page.until(f"{_LUMINANCE}('body') > 0.7")
    page.check()


def test_without_a_theme_of_the_host_the_machines_counts(browser: Browser) -> None:
    assert browser.open(scheme="dark").get(f"{_LUMINANCE}('body')") < 0.3
    assert browser.open(scheme="light").get(f"{_LUMINANCE}('body')") > 0.7


def test_the_hosts_fonts_and_colours_are_used(browser: Browser) -> None:
    variables = {"--color-background-primary": "rgb(1, 2, 3)", "--font-sans": "monospace"}

    page = browser.open(context={"theme": "dark", "styles": {"variables": variables}})

    page.until("getComputedStyle(document.body).backgroundColor === 'rgb(1, 2, 3)'")
    assert page.get("getComputedStyle(document.body).fontFamily") == "monospace"


def test_the_host_is_told_how_much_room_the_page_takes(browser: Browser) -> None:
    page = browser.open(width=700)
    page.show(picture(node("one"), node("two")))

    page.click('[data-id="two"]')

    height = page.get("Math.ceil(document.querySelector('#app').getBoundingClientRect().height)")
    sizes = browser.command("sized", size={"width": 700, "height": height})
    assert len(sizes) > 1


def test_the_picture_stays_within_the_height_that_the_host_gives(browser: Browser, server: RpcClient) -> None:
    page = browser.open(width=700, context={"containerDimensions": {"maxHeight": 420, "maxWidth": 700}})

    page.show(picture_of(graph_of(server, chain(59))))

    assert page.get("document.querySelector('#app').offsetHeight") <= 420


def test_the_page_can_take_the_whole_window_where_the_host_allows_it(browser: Browser) -> None:
    modes = {"availableDisplayModes": ["inline", "fullscreen"], "displayMode": "inline"}
    page = browser.open(width=700, height=800, context=modes)
    page.show(picture(node("one")))

    page.click("#expand")

    page.until("document.querySelector('#expand').textContent === 'Collapse'")
    assert page.get("document.querySelector('#stage').offsetHeight") > 500


def test_the_page_ends_when_the_host_asks_it_to(browser: Browser) -> None:
    page = browser.open(capabilities={"serverResources": {}})
    page.news(picture(node("one", "running")))
    page.show(picture(node("one")))
    page.has_status("one", "running")

    assert browser.command("teardown") == {}


def test_the_library_comes_with_its_licence() -> None:
    vendor = Path(__file__).parents[2] / "rpc_server/mcp/picture/app/vendor"

    assert "Permission is hereby granted" in (vendor / "dagre.LICENSE").read_text()
    assert "3.1.3" in (vendor / "README.md").read_text()
