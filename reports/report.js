'use strict';
// Everything here is a help on top of a page that is complete without it.

// Sorting: by data-v where a cell has one (empty last), else by text.
function sortBy(table, column, header) {
  const descending = header.getAttribute('aria-sort') === 'ascending';
  const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const numeric = row => row.cells[column].dataset.v !== undefined;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    if (!numeric(a)) return (descending ? -1 : 1) * key(a).localeCompare(key(b), 'en', {numeric: true});
    if (key(a) === '' || key(b) === '') return (key(a) === '') - (key(b) === '');
    return (descending ? -1 : 1) * (key(a) - key(b));
  });
  table.tBodies[0].append(...rows);
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  header.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
}
for (const table of document.querySelectorAll('table.sortable')) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement('button');
    button.textContent = header.textContent;
    button.addEventListener('click', () => sortBy(table, column, header));
    header.replaceChildren(button);
  });
}

// The filter hides rows, and the cards of hidden rows.
for (const input of document.querySelectorAll('input[data-filters]')) {
  input.addEventListener('input', () => {
    for (const row of document.getElementById(input.dataset.filters).tBodies[0].rows) {
      row.hidden = !row.cells[0].textContent.includes(input.value);
      const card = document.getElementById(row.id.replace('site-', 'card-'));
      if (card) card.hidden = row.hidden;
    }
  });
}

// A link to a card opens it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === 'DETAILS') {
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener('hashchange', openTarget);
openTarget();

// Latency belongs to the run and stands in its box; the arms show it, too.
const latency = new Map();
for (const row of document.querySelectorAll('#latency tbody tr')) {
  latency.set(row.cells[0].textContent, row.cells[1].textContent);
}
for (const cell of document.querySelectorAll('td[data-latency]')) {
  if (latency.has(cell.dataset.latency)) cell.textContent = latency.get(cell.dataset.latency);
}

// And the sites show theirs beside their errors.
const siteLatency = new Map();
for (const row of document.querySelectorAll('#site-latency tbody tr')) {
  siteLatency.set(row.cells[0].textContent, row.cells);
}
for (const cell of document.querySelectorAll('td[data-site]')) {
  const cells = siteLatency.get(cell.dataset.site);
  if (!cells) continue;
  cell.textContent = cells[+cell.dataset.column].textContent;
  cell.dataset.v = cells[+cell.dataset.column].dataset.v;
}

// Values of dense lines under the pointer. The points stand in the path, the values beside it.
function pointsOf(path) {
  const places = [...path.getAttribute('d').matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)].map(m => +m[1]);
  const [first, step] = path.dataset.x.split(':');
  const x = step === undefined ? path.dataset.x.split(',')
                               : places.map((_, i) => String(+(+first + i * step).toPrecision(6)));
  return {places, x, y: path.dataset.y.split(',')};
}
function showValues(svg, clientX) {
  const lines = [...svg.querySelectorAll('.dense')];
  const at = (clientX - svg.getBoundingClientRect().left) * 560 / svg.clientWidth;
  const names = [...svg.parentElement.querySelectorAll('.legend li')].map(li => li.textContent);
  let text = '';
  let place = 0;
  lines.forEach((line, n) => {
    const points = pointsOf(line);
    let nearest = 0;
    points.places.forEach((p, i) => {
      if (Math.abs(p - at) < Math.abs(points.places[nearest] - at)) nearest = i;
    });
    if (n === 0) {
      text = `${line.dataset.xname} ${points.x[nearest]}`;
      place = points.places[nearest];
    }
    if (Math.abs(points.places[nearest] - place) > 4) return;
    text += `; ${lines.length > 1 && names[n] ? names[n] : line.dataset.yname}: ${points.y[nearest]}`;
  });
  return {text, place};
}
for (const svg of document.querySelectorAll('svg.plot')) {
  if (!svg.querySelector('.dense')) continue;
  const readout = document.createElement('div');
  readout.className = 'readout';
  const cursor = document.createElementNS(svg.namespaceURI, 'path');
  cursor.setAttribute('class', 'cursor');
  svg.addEventListener('pointermove', event => {
    const {text, place} = showValues(svg, event.clientX);
    readout.textContent = text;
    cursor.setAttribute('d', `M${place} 12V${svg.viewBox.baseVal.height - 46}`);
    if (!readout.parentElement) svg.parentElement.append(readout);
    if (!cursor.parentElement) svg.append(cursor);
  });
  svg.addEventListener('pointerleave', () => {
    readout.remove();
    cursor.remove();
  });
}

// The list of sites to keep in FP16: as long as asked for; trailing commas are no JSON.
const keep = document.getElementById('keep-list');
const keepCount = document.getElementById('keep-count');
if (keep && keepCount) {
  const lines = [...keep.querySelectorAll('span')];
  const update = () => {
    const count = Math.max(0, Math.min(lines.length, Math.floor(+keepCount.value)));
    lines.forEach((line, i) => {
      line.hidden = i >= count;
      line.textContent = line.textContent.replace(/,?\n$/, '') + (i + 1 < count ? ',\n' : '\n');
    });
  };
  keepCount.addEventListener('input', update);
  update();
  document.getElementById('keep-copy').addEventListener('click', event => {
    const text = lines.filter(line => !line.hidden).map(line => line.textContent).join('');
    navigator.clipboard.writeText(text).then(
        () => { event.target.textContent = 'Copied'; },
        () => { getSelection().selectAllChildren(keep); });
  });
}

// On paper: the cards of the guiltiest sites, and what the reader has opened.
window.addEventListener('beforeprint', () => {
  for (const link of document.querySelectorAll('#guilty-table a')) {
    const card = document.getElementById(link.hash.slice(1));
    if (card) card.open = true;
  }
});
