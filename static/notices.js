// What the page tells besides the cards: trouble, a lost connection, what is left of the limits, and words for screen readers.

import { moment, wait } from './format.js';

const TICK_MS = 1_000;
const GATHER_MS = 800; // so that fifty cards don't speak one after the other
const MANY = 3;
const SCARCE = 0.25; // of a limit: what is left of it is worth showing

/** Trouble with the last thing one did; goes away by hand, with the next success, or when its time is over. */
export class Notice {
  #box = document.getElementById('notice');
  #text = document.getElementById('notice-text');
  #rest = document.getElementById('notice-rest');
  #about = null;
  #timer = null;

  constructor() {
    document.getElementById('notice-close').addEventListener('click', () => this.hide());
  }

  show(words, about = null) {
    this.hide();
    this.#about = about;
    this.#text.textContent = words;
    this.#box.hidden = false;
  }

  hideIf(about) {
    if (this.#about === about) this.hide();
  }

  /** `words(secondsLeft)`: a sentence, and its end that counts down (which isn't read out each second). */
  until(instant, words) {
    const tick = () => {
      const left = (instant - Date.now()) / 1000;
      if (left <= 0) this.hide();
      else this.#rest.textContent = words(left)[1];
    };
    this.show(words((instant - Date.now()) / 1000)[0]);
    this.#timer = setInterval(tick, TICK_MS);
    tick();
  }

  hide() {
    clearInterval(this.#timer);
    this.#about = null;
    putAway(this.#box);
    this.#text.textContent = this.#rest.textContent = '';
  }
}

/** The banner of a lost connection. */
export class Lost {
  #box = document.getElementById('lost');
  #text = document.getElementById('lost-text');
  #rest = document.getElementById('lost-rest');
  #timer = null;

  constructor(onRetry) {
    document.getElementById('lost-retry').addEventListener('click', onRetry);
  }

  show(retryAt) {
    clearInterval(this.#timer);
    const tick = () => {
      const left = (retryAt - Date.now()) / 1000;
      this.#rest.textContent = left > 0 ? `Next try in ${wait(left)}.` : 'Trying…';
    };
    if (this.#box.hidden) {
      this.#text.textContent = 'The server can’t be reached. This page reconnects by itself, and nothing you typed is lost.';
      this.#box.hidden = false;
    }
    this.#timer = setInterval(tick, TICK_MS);
    tick();
  }

  hide() {
    clearInterval(this.#timer);
    putAway(this.#box);
  }
}

/** Hides it; the focus, if it was in there, goes to where one goes on. */
function putAway(box) {
  const hadFocus = box.contains(document.activeElement);
  box.hidden = true;
  if (hadFocus) document.getElementById('links').focus();
}

/** The meter of what the key has left, from the answers' headers. It shows only what is scarce. */
export class Limits {
  #box = document.getElementById('limits');
  #text = document.getElementById('limits-text');
  #meter = document.getElementById('limits-meter');
  #timer = null;

  show({ limit, remaining, resetAt }) {
    clearTimeout(this.#timer);
    this.#box.hidden = remaining > limit * SCARCE;
    if (this.#box.hidden) return;
    this.#box.title = `Requests this key has left. It gets new ones at ${moment(new Date(resetAt))}.`;
    this.#draw(limit, remaining, `${remaining.toLocaleString()} of ${limit.toLocaleString()} requests left`);
    this.#timer = setTimeout(() => this.hide(), Math.min(2 ** 31 - 1, resetAt - Date.now()));
  }

  hide() {
    clearTimeout(this.#timer);
    this.#box.hidden = true;
  }

  #draw(limit, remaining, words) {
    this.#text.textContent = words;
    Object.assign(this.#meter, { max: limit, low: limit * 0.1, high: limit * SCARCE, optimum: limit, value: remaining });
  }
}

let gathered = [];

/** Says it to screen readers, politely, together with what else happens about now. */
export function announce(words) {
  gathered.push(words);
  if (gathered.length > 1) return;
  setTimeout(() => {
    const [said, rest] = [gathered.slice(0, MANY), gathered.length - MANY];
    document.getElementById('announcer').textContent = said.join('. ') + (rest > 0 ? `. And ${rest} more.` : '.');
    gathered = [];
  }, GATHER_MS);
}
