"use strict";
// The report's behaviour: figures, theme, the sortable table and its rows.

const root = document.documentElement;
const content = JSON.parse(document.getElementById("content").textContent);

function stored(name) {
  try { return window.sessionStorage.getItem(name); } catch { return null; }
}

function store(name, value) {
  try { window.sessionStorage.setItem(name, value); } catch { /* A file may have none. */ }
}

// Plotly is packed into the page, so that it needs no network.
async function loadPlotly() {
  const packed = document.getElementById("plotly").textContent.trim();
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function themed(layout) {
  const style = getComputedStyle(root);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = {
    gridcolor: color("--rule"), linecolor: color("--rule"), zerolinecolor: color("--rule"),
    automargin: true,
  };
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("--text"), size: 13 },
    margin: { t: 12, r: 12, b: 44, l: 56 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    ...layout,
  };
  for (const name of ["xaxis", "yaxis"]) {
    if (layout[name]) made[name] = { ...axis, ...layout[name] };
  }
  return made;
}

function draw(place) {
  const figure = content.figures[place.dataset.figure];
  // Plotly keeps what it is given, and writes into it.
  const own = structuredClone(figure);
  Plotly.react(place, own.data, themed(own.layout), { responsive: true, displayModeBar: false });
}

function drawAll() {
  document.querySelectorAll(".figure").forEach((place) => {
    if (place.offsetParent !== null) draw(place);
  });
}

function setTheme(name) {
  root.dataset.theme = name;
  store("theme", name);
  const button = document.querySelector(".theme");
  button.textContent = name === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Change to the ${button.textContent.toLowerCase()} theme`);
  if (window.Plotly) drawAll();
}

function sortBy(header) {
  const table = header.closest("table");
  const place = [...header.parentNode.children].indexOf(header);
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const pairs = [...body.querySelectorAll("tr.trial")].map((row) => [row, row.nextElementSibling]);
  const key = ([row]) => row.children[place].dataset.value ?? "";
  pairs.sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === "" || b === "") return (a === "") - (b === "");  // Empty cells come last.
    const numbers = [Number(a), Number(b)];
    const order = numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1];
    return ascending ? order : -order;
  });
  for (const [row, record] of pairs) body.append(row, record);
}

function toggleRow(button) {
  const record = button.closest("tr").nextElementSibling;
  record.hidden = !record.hidden;
  button.setAttribute("aria-expanded", String(!record.hidden));
  if (!record.hidden && window.Plotly) record.querySelectorAll(".figure").forEach(draw);
}

document.querySelectorAll("th button").forEach((button) => {
  button.addEventListener("click", () => sortBy(button.closest("th")));
});
document.querySelectorAll("button.open").forEach((button) => {
  button.addEventListener("click", () => toggleRow(button));
});
document.querySelectorAll("details").forEach((each) => {
  each.addEventListener("toggle", () => { if (each.open && window.Plotly) drawAll(); });
});
document.querySelector(".theme").addEventListener("click", () => {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
});
document.querySelectorAll("button.copy").forEach((button) => {
  button.addEventListener("click", async () => {
    const code = button.nextElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(code);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(button.nextElementSibling);
      button.textContent = "Selected: copy it";
    }
  });
});

const isDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
setTheme(stored("theme") ?? (isDark ? "dark" : "light"));

// While the search runs the page reloads itself, where it was.
if (content.reload_seconds) {
  const at = Number(stored("scroll") ?? 0);
  if (at) window.scrollTo(0, at);
  window.setTimeout(() => {
    store("scroll", window.scrollY);
    window.location.reload();
  }, 1000 * content.reload_seconds);
}

loadPlotly().then(drawAll).then(
  () => { root.dataset.ready = "yes"; },
  () => {
    document.querySelectorAll(".figure").forEach((place) => {
      place.textContent = "This browser cannot draw the figures; the numbers are in the tables.";
      place.style.height = "auto";
    });
  },
);
