"""What axe-core finds in a page, by the browser that is installed here."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = """<script>{axe}</script><script>
document.querySelectorAll("details").forEach(one => one.open = true);
axe.run({{resultTypes: ["violations"]}}).then(found => {{
  const list = document.createElement("pre");
  list.id = "axe-found";
  list.textContent = JSON.stringify(found.violations.map(one => [one.id, one.help, one.nodes[0].html.slice(0, 200)]));
  document.body.append(list);
}});
</script></body>"""


def find_chromium():
    """Find the browser, or skip the test."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium here")
    return program


def find_violations(page, folder, width=1000):
    """List the violations of a page with all its details open; `folder` takes a copy with axe-core in it."""
    program = find_chromium()
    package = importlib.util.find_spec("axe_core_python")
    if package is None:
        pytest.skip("axe-core is not installed (envs/dev.lock)")
    axe = (Path(package.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
    copy = folder / "with_axe.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    head, _, tail = text.rpartition("</body>")
    copy.write_text(head + RUN.format(axe=axe.replace("</script", "<\\/script")) + tail, encoding="utf-8")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},1200", "--virtual-time-budget=60000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode or "</html>" not in done.stdout:
        pytest.skip("Chromium does not start here")
    found = re.search(r'<pre id="axe-found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"axe-core did not finish: {done.stderr}"
    return json.loads(html.unescape(found[1]))
