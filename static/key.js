// The key: comes in the address's fragment (which browsers never send), stays in this browser.

const NAME = 'ytmp3d.key';
let inMemory = null; // for browsers that keep nothing

export const keptKey = {
  get() {
    try {
      return localStorage.getItem(NAME) ?? inMemory;
    } catch {
      return inMemory;
    }
  },
  set(key) {
    inMemory = key;
    try {
      localStorage.setItem(NAME, key);
    } catch {
      // It lasts as long as the page, then.
    }
  },
  forget() {
    inMemory = null;
    try {
      localStorage.removeItem(NAME);
    } catch {
      // Nothing was kept.
    }
  },
};

/** The key of `#key=…`, taken out of the address bar and the history; null when there is none. */
export function keyFromAddress() {
  const found = /[#&]key=([^&]+)/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, '', location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]).trim() || null;
  } catch {
    return null;
  }
}
