// What the reference page is built of. Text goes into the page as text, never as markup.

/** An element; attributes that are null or false are left out, children may be strings, nodes, or null. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

/** `text` with its `code` parts as such. */
export function inline(text) {
  return text.split('`').map((part, index) => (index % 2 ? el('code', {}, part) : part));
}

/** The few forms the description uses: paragraphs, and headings of the second level. */
export function prose(text) {
  return text.split('\n\n').map((part) => {
    if (!part.startsWith('## ')) return el('p', {}, inline(part));
    const title = part.slice(3);
    return el('h2', { id: slug(title) }, title);
  });
}

export function slug(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

/** `about` tells tables of the same caption apart for who hears them. */
export function table(caption, about, heads, rows) {
  const head = el('tr', {}, heads.map((text) => el('th', { scope: 'col' }, text)));
  const body = rows.map(([first, ...rest]) =>
    el('tr', {}, el('th', { scope: 'row' }, first), rest.map((cell) => el('td', {}, cell))));
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': about ? `${caption}: ${about}` : caption },
    el('table', {}, el('caption', {}, caption), el('thead', {}, head), el('tbody', {}, body)));
}

/** Code with its strings set off, and a button that copies it. */
export function code(source, label) {
  const parts = source.split(/("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)/);
  const pre = el('pre', { tabindex: '0', role: 'region', 'aria-label': label },
    el('code', {}, parts.map((part, index) => (index % 2 ? el('span', { class: 'string' }, part) : part))));
  const copy = el('button', { type: 'button', class: 'copy', 'aria-label': `Copy: ${label}` }, 'Copy');
  copy.addEventListener('click', () => copyText(source, copy));
  return el('div', { class: 'code' }, pre, copy);
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // the clipboard's own interface needs https, which a box at home seldom has
  }
  button.focus();
  button.textContent = 'Copied';
  announce('Copied.');
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

function copyBySelection(text) {
  const field = el('textarea', { class: 'visually-hidden', readonly: true });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand('copy');
  field.remove();
}

function announce(text) {
  const announcer = document.getElementById('announcer');
  announcer.textContent = '';
  announcer.textContent = text;
}
