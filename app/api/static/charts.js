// Charts of our own: of a picture, which has slots (times, or parts of a scale) and series over them.
// Bars are stacked, bands have two ends, facts are only read off; null leaves a gap.
// A picture's `scale` writes the numbers of its axis, `ticks(most)` tells what is written under it,
// `all` is told when no slot is read off; `unfinished`: the last slot may grow.

const NOTHING = "–";
const panels = [];
const sum = numbers => numbers.reduce((all, each) => all + each, 0);
const orNothing = format => value => value == null ? NOTHING : format(value);
const series = (kind, name, look, values, format, whole) => ({
  kind, name, look, values, text: index => orNothing(format)(values[index]), whole: orNothing(format)(whole),
});

const draw = (tag, how, ...content) => filled(document.createElementNS("http://www.w3.org/2000/svg", tag), how, content);

/** In place of what was there; what had the focus or was open has and is still. */
function refill(container, ...content) {
  const reachable = () => [...container.querySelectorAll("a, button, summary, [tabindex]")];
  const focused = reachable().find(each => each === document.activeElement)?.textContent;
  const open = container.querySelector("details")?.open;
  container.replaceChildren(...content.flat().filter(Boolean));
  if (open) container.querySelector("details")?.setAttribute("open", "");
  if (focused) reachable().find(({ textContent }) => textContent === focused)?.focus({ preventScroll: true });
}

/** Round numbers from `from` to `to` or a little above. */
function levelsOf(from, to, whole) {
  const raw = (to - from) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max([1, 2, 2.5, 5, 10].find(each => raw <= each * power * 1.0001) * power, whole ? 1 : 0);
  return Array.from({ length: Math.ceil((to - from) / step - 0.001) + 1 }, (_, index) => from + index * step);
}

/** A path that breaks at null; what stands alone is a dot. */
function lineOf(points, look) {
  const steps = points.map((point, index) => point ? `${points[index - 1] ? "L" : "M"}${point.join(" ")}` : "");
  const alone = points.filter((point, index) => point && !points[index - 1] && !points[index + 1]);
  return [
    draw("path", { class: `line ${look}`, d: steps.join(""), "vector-effect": "non-scaling-stroke" }),
    ...alone.map(([cx, cy]) => draw("circle", { class: `line ${look}`, cx, cy, r: 2.5 })),
  ];
}

/** Likewise, of points [x, low, high]. */
function bandOf(points) {
  const parts = [[]];
  for (const point of points) if (point) parts.at(-1).push(point); else parts.push([]);
  return parts.filter(({ length }) => length).map(part => {
    const wide = part.length > 1 ? part : [-3, 3].map(aside => [part[0][0] + aside, part[0][1], part[0][2]]);
    const low = wide.map(([x, low]) => `${x} ${low}`), high = wide.map(([x, , high]) => `${x} ${high}`).reverse();
    return draw("path", { class: "band", d: `M${low.join("L")}L${high.join("L")}Z` });
  });
}

/** A line as small as a word, without axes. */
function spark(values, from = 0) {
  const high = Math.max(...values), height = high > from ? high - from : 1;
  const points = values.map((value, index) => value === null ? null : [index + 0.5, 30 - 28 * (value - from) / height]);
  return draw("svg", { viewBox: `0 0 ${values.length} 32`, preserveAspectRatio: "none", "aria-hidden": "true" }, lineOf(points, "")[0]);
}

function paint(own) {
  const { plot, picture } = own, width = plot.clientWidth, height = plot.clientHeight;
  if (!picture || width < 100) return;
  const { slots, from = 0, limit, mark, scale } = picture;
  const of = kind => picture.series.filter(each => each.kind === kind), bars = of("bar"), lines = of("line");
  const below = (number, index) => sum(bars.slice(0, number).map(({ values }) => values[index] ?? 0));
  const stacks = slots.map((_, index) => below(bars.length, index));
  const highest = Math.max(...stacks, ...lines.flatMap(({ values }) => values), limit?.value ?? 0);
  const levels = levelsOf(from, picture.to ?? (highest || 1), picture.whole);
  const left = 10 + 6 * Math.max(...levels.map(level => scale(level).length)), right = width - 6, bottom = height - 20;
  const slot = (right - left) / slots.length, gap = Math.min(slot / 5, 4);
  const x = place => left + place * slot, y = value => bottom - (bottom - 10) * (value - from) / (levels.at(-1) - from);
  Object.assign(own, { x, y, left, slot, bottom, cross: draw("g", {}) });

  const axis = levels.map((level, index) => [
    draw("line", { class: index ? "grid" : "grid base", x1: left, x2: right, y1: y(level), y2: y(level) }),
    draw("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, scale(level)),
  ]);
  const ticks = picture.ticks(Math.max(2, Math.floor((right - left) / 58))).map(({ at, text }) =>
    draw("text", { x: Math.min(x(at), right), y: height - 4, "text-anchor": x(at) > right - 18 ? "end" : "middle" }, text));
  const bar = (look, number) => (value, index) => value && draw("rect", {
    class: `bar ${look} ${picture.unfinished && index === slots.length - 1 ? "unfinished" : ""}`,
    x: x(index) + gap / 2, width: slot - gap, y: y(below(number, index) + value), height: Math.max(y(0) - y(value), 1),
  });
  const middle = (value, index) => value === null ? null : [x(index + 0.5), ...[value].flat().map(y)];
  plot.replaceChildren(draw("svg", { "aria-hidden": "true" }, axis, ticks,
    bars.map(({ look, values }, number) => values.map(bar(look, number))),
    of("band").map(({ values }) => bandOf(values.map(middle))),
    lines.map(({ look, values }) => lineOf(values.map(middle), look)),
    limit && [
      draw("line", { class: "limit", x1: left, x2: right, y1: y(limit.value), y2: y(limit.value) }),
      draw("text", { class: "limit", x: left + 6, y: y(limit.value) + (from ? 14 : -6) }, limit.text),
    ],
    mark && [
      draw("line", { class: "limit mild", x1: x(mark.at), x2: x(mark.at), y1: 8, y2: bottom }),
      draw("text", { class: "limit mild", x: x(mark.at) - 5, y: 18, "text-anchor": "end" }, mark.text),
    ],
    own.cross));
  point(own, own.pointed);
}

/** Reads off a slot; null: tells of all together. */
function point(own, index) {
  const { picture: { slots, unfinished, all, series }, legend, plot, cross } = own, last = slots.length - 1;
  own.pointed = index = index > last ? null : index;
  const when = index === null ? all : `${slots[index]}${unfinished && index === last ? " (so far)" : ""}`;
  const told = series.map(each => ({ ...each, value: index === null ? each.whole : each.text(index) }));
  const spoken = `${when}: ${told.map(({ name, value }) => `${name} ${value}`).join(", ")}`;
  legend.replaceChildren(make("span", "when", when),
    ...told.map(({ kind, look, name, value }) => make("span", "", swatch(kind, look), `${name} `, make("b", "", value))));
  filled(plot, { "aria-valuemax": last, "aria-valuenow": index ?? last, "aria-valuetext": spoken }, []);
  if (!cross) return;
  const middle = own.x((index ?? 0) + 0.5), dots = series.filter(({ kind, values }) => kind === "line" && values[index] != null);
  cross.replaceChildren(...index === null ? [] : [
    draw("line", { class: "cross", x1: middle, x2: middle, y1: 6, y2: own.bottom }),
    ...dots.map(({ values }) => draw("circle", { class: "cross", cx: middle, cy: own.y(values[index]), r: 3.5 })),
  ]);
}

function swatch(kind, look) {
  if (kind === "fact") return null;
  const [tag, form] = kind === "line" ? ["line", { x2: 14, y1: 6, y2: 6 }] : ["rect", { width: 14, height: 12, rx: 2 }];
  return draw("svg", { viewBox: "0 0 14 12", "aria-hidden": "true" }, draw(tag, { class: `${kind} ${look}`, ...form }));
}

/** A card with a chart, which mouse, finger and arrow keys read off, and with a table of it. Charts of the
 *  same slots are read off together. */
function panel(title) {
  const plot = make("div", { class: "plot", role: "slider", tabindex: 0, "aria-label": `${title}, read off`, "aria-valuemin": 0 });
  const legend = make("div", "legend"), none = make("p", "soft"), body = make("div", "body");
  const details = make("details", "", make("summary", "", "As a table"), body);
  const card = make("section", "card", make("h2", "", title), none, legend, plot, details);
  const own = { card, plot, legend, picture: null, pointed: null };
  const all = index => panels.filter(({ picture }) => picture?.slots === own.picture.slots).forEach(each => point(each, index));
  const to = index => all(Math.min(Math.max(index, 0), own.picture.slots.length - 1));
  const under = ({ clientX }) => to(Math.floor((clientX - plot.getBoundingClientRect().left - own.left) / own.slot));
  const tabled = () => {
    const { slots, series } = own.picture, known = (_, index) => series.some(({ values }) => values[index] != null);
    const rows = slots.map((slot, index) => [slot, ...series.map(({ text }) => text(index))]).filter(known);
    if (details.open) refill(body, tableOf(`${title}, as a table`, ["", ...series.map(({ name }) => name)], rows));
  };
  for (const event of ["pointermove", "pointerdown"]) plot.addEventListener(event, under);
  plot.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType === "mouse" && document.activeElement !== plot) all(null); });
  plot.addEventListener("focus", () => { if (own.pointed === null) to(Infinity); });
  plot.addEventListener("blur", () => all(null));
  plot.addEventListener("keydown", event => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -6, PageUp: 6, Home: -Infinity, End: Infinity };
    if (!steps[event.key]) return;
    event.preventDefault();
    to((own.pointed ?? own.picture.slots.length - 1) + steps[event.key]);
  });
  details.addEventListener("toggle", tabled);
  new ResizeObserver(() => paint(own)).observe(plot);
  own.show = (picture, nothing) => {
    own.picture = picture;
    none.textContent = nothing;
    none.hidden = !!picture;
    for (const element of [legend, plot, details]) element.hidden = !picture;
    if (!picture) return;
    point(own, own.pointed);
    paint(own);
    tabled();
  };
  panels.push(own);
  return own;
}

/** A card with words, bars or a table. */
function card(title) {
  const body = make("div", "body");
  return { card: make("section", "card", make("h2", "", title), body), show: (...content) => refill(body, content) };
}

function tableOf(name, head, rows, look = "") {
  const cells = row => row.map((cell, index) => index ? make("td", "", cell) : make("th", { scope: "row" }, cell));
  const heads = make("tr", "", head.map(each => make(each ? "th" : "td", "", each)));
  const table = make("table", look, make("thead", "", heads), make("tbody", "", rows.map(row => make("tr", "", cells(row)))));
  return make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": name }, table);
}

/** Of rows [name, value, text]; a full bar is `most`. */
function barsOf(rows, most, look = "") {
  return make("ul", "bars", rows.map(([name, value, text]) => {
    const fill = make("div", "fill");
    fill.style.width = `${value / most * 100}%`;
    return make("li", look, make("span", "", name), make("span", "number", text), make("div", "track", fill));
  }));
}
