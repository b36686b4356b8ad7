// What the page's address brings along: a key in its fragment (which browsers never send), and links to convert.

const NAME = 'ytmp3d.key';
const SHARED = ['url', 'text', 'title']; // the fields of the manifest's share target
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

/**
 * `{key, texts}`: the key of `#key=…` or null; what `#url=…` and `?url=…&text=…&title=…` hold, each a text with links.
 * All of it is taken out of the address bar and the history, so that a reload does not bring a link twice.
 */
export function takeFromAddress() {
  const hash = location.hash.slice(1);
  const key = /(?:^|&)key=([^&]+)/.exec(hash);
  const [, ofHash] = /(?:^|&)url=(.+)$/.exec(key ? hash.replace(key[0], '') : hash) ?? [];
  const query = new URLSearchParams(location.search);
  const texts = [decoded(ofHash), ...SHARED.map((name) => query.get(name))].filter(Boolean);
  for (const name of SHARED) query.delete(name);
  const rest = query.size ? `?${query}` : '';
  if (key || ofHash || rest !== location.search) history.replaceState(null, '', location.pathname + rest);
  return { key: decoded(key?.[1]), texts };
}

function decoded(text) {
  try {
    return decodeURIComponent(text ?? '').trim() || null;
  } catch {
    return text; // not encoded at all: a link as it stands in another address bar
  }
}
