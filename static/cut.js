// "Keep only this part": the start and end of a clip, set by ear, typed or nudged, and converted as a new one.

import { clock } from './format.js';

const HEARD_S = 3; // of each end
const AFTER_NUDGE_MS = 250;
const SHORTEST_S = 1; // the server's

const $ = (id) => document.getElementById(id);

/** Seconds as `1:05.3`. */
function exact(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${clock(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** What people type for a time (`65`, `1:05.3`, `1:02:03`), in seconds; NaN if it is none. */
export function seconds(text) {
  const found = /^(?:(?:(\d{1,2}):)?(\d{1,3}):)?(\d{1,6}(?:[.,]\d{0,3})?)$/.exec(text.trim());
  if (!found) return NaN;
  const [, h = 0, m = 0, s] = found;
  return Number(h) * 3600 + Number(m) * 60 + Number(s.replace(',', '.'));
}

export class Cut {
  #form = $('cut');
  #fields = { start: $('cut-start'), end: $('cut-end') };
  #opener = $('player-cut');
  #error = $('cut-error');
  #conversion = null;
  #timer = 0;
  #calls;

  /** `position()` of the player; `hear(start, end)` plays that part; `convert({start, end})` makes it, null being the video's own end, and answers its card, or null if it was refused. */
  constructor(calls) {
    this.#calls = calls;
    this.#opener.addEventListener('click', () => (this.#form.hidden ? this.#show() : this.#hide()));
    $('cut-cancel').addEventListener('click', () => this.#hide());
    this.#form.addEventListener('keydown', (event) => event.key === 'Escape' && this.#hide());
    for (const group of this.#form.querySelectorAll('[data-end]')) this.#listen(group, group.dataset.end);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#convert();
    });
  }

  get open() {
    return !this.#form.hidden;
  }

  /** What is in the player now. Its length must be known. */
  offer(conversion) {
    if (conversion.conversion_id !== this.#conversion?.conversion_id) this.close();
    this.#conversion = conversion;
    this.#opener.hidden = !conversion.duration || conversion.duration <= SHORTEST_S;
  }

  close() {
    clearTimeout(this.#timer);
    this.#form.hidden = true;
    this.#opener.setAttribute('aria-expanded', 'false');
    this.#conversion = null;
  }

  #show() {
    this.#set('start', 0);
    this.#set('end', this.#conversion.duration);
    this.#form.hidden = false;
    this.#opener.setAttribute('aria-expanded', 'true');
    this.#fields.start.focus();
    this.#judge();
  }

  #hide() {
    const kept = this.#conversion;
    this.close();
    this.#conversion = kept;
    this.#opener.focus();
  }

  #listen(group, which) {
    const field = this.#fields[which];
    for (const button of group.querySelectorAll('[data-nudge]')) {
      button.addEventListener('click', () => this.#change(which, (Number.isNaN(seconds(field.value)) ? 0 : seconds(field.value)) + Number(button.dataset.nudge)));
    }
    group.querySelector('[data-now]').addEventListener('click', () => {
      this.#set(which, this.#calls.position());
      this.#judge();
    });
    group.querySelector('[data-hear]').addEventListener('click', () => this.#judge() && this.#hear(which));
    field.addEventListener('input', () => this.#judge());
    field.addEventListener('keydown', (event) => {
      const step = { ArrowUp: 0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
      if (!step || Number.isNaN(seconds(field.value))) return;
      event.preventDefault();
      this.#change(which, seconds(field.value) + step);
    });
  }

  #set(which, value) {
    this.#fields[which].value = exact(Math.max(0, Math.min(value, this.#conversion.duration)));
  }

  /** After the last of several nudges it is heard. */
  #change(which, value) {
    this.#set(which, value);
    clearTimeout(this.#timer);
    if (this.#judge()) this.#timer = setTimeout(() => this.#hear(which), AFTER_NUDGE_MS);
  }

  #hear(which) {
    const [start, end] = this.#part();
    if (which === 'start') this.#calls.hear(start, Math.min(end, start + HEARD_S));
    else this.#calls.hear(Math.max(start, end - HEARD_S), end);
  }

  #part() {
    return [seconds(this.#fields.start.value), seconds(this.#fields.end.value)];
  }

  /** Says what is wrong, or how long the part is. */
  #judge() {
    const [start, end] = this.#part();
    const { duration } = this.#conversion;
    let wrong = '';
    if (Number.isNaN(start) || Number.isNaN(end)) wrong = 'Write a time like 1:05.3.';
    else if (end > duration + 0.1) wrong = `It is only ${exact(duration)} long.`;
    else if (end - start < SHORTEST_S) wrong = 'The end must be at least a second after the start.';
    this.#error.textContent = wrong;
    $('cut-length').textContent = wrong ? '' : `${exact(end - start)} long`;
    for (const [which, field] of Object.entries(this.#fields)) field.setAttribute('aria-invalid', String(Boolean(wrong) && (Number.isNaN(seconds(field.value)) || which === 'end')));
    const share = (second) => String(Math.max(0, Math.min(1, second / duration || 0)));
    this.#form.style.setProperty('--from', share(start));
    this.#form.style.setProperty('--to', share(end));
    return !wrong;
  }

  async #convert() {
    if (!this.#judge()) return;
    const [start, end] = this.#part();
    const { duration, clip } = this.#conversion;
    const whole = duration - end < 0.1; // to the end of what is heard, which is rarely a round number of tenths
    if (start === 0 && whole) return (this.#error.textContent = 'This is all of it. Set another start or end.');
    const first = clip?.start ?? 0;
    const last = whole ? clip?.end ?? null : Math.round((first + end) * 1000) / 1000;
    const button = $('cut-convert');
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    const done = await this.#calls.convert({ start: Math.round((first + start) * 1000) / 1000, end: last });
    button.removeAttribute('aria-disabled');
    if (done && !this.#form.hidden) this.#hide();
    done?.focus();
  }
}
