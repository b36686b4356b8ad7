// Sends links in as few requests as the server takes. Pressed again after a lost answer, nothing is converted twice.

import { randomId } from './api.js';

const AT_ONCE = 50; // the most links the server takes in one request, unless its owner said otherwise

export class Batches {
  #send;
  #lastTry = null; // {body, idempotencyKey}

  /** `send(urls, options, idempotencyKey)` is one request. */
  constructor(send) {
    this.#send = send;
  }

  /** `accepted(urls)` is called after each request. Throws when one was refused; those before it stay accepted. */
  async convert(urls, options, accepted) {
    for (let at = 0; at < urls.length; at += AT_ONCE) await this.#some(urls.slice(at, at + AT_ONCE), options, accepted);
  }

  async #some(urls, options, accepted) {
    const body = JSON.stringify([urls, options]);
    if (this.#lastTry?.body !== body) this.#lastTry = { body, idempotencyKey: randomId() };
    try {
      await this.#send(urls, options, this.#lastTry.idempotencyKey);
    } catch (error) {
      if (error.code !== 'BATCH_TOO_LARGE' || urls.length < 2) throw error;
      const half = Math.ceil(urls.length / 2);
      await this.#some(urls.slice(0, half), options, accepted);
      return this.#some(urls.slice(half), options, accepted);
    }
    this.#lastTry = null;
    accepted(urls);
  }
}
