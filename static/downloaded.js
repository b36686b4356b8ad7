// Which files were downloaded with this browser, so that their cards have a tick.

const NAME = 'ytmp3d.downloaded';
const MOST = 1000;
let ids = null;

function known() {
  if (ids) return ids;
  try {
    ids = new Set(JSON.parse(localStorage.getItem(NAME) ?? '[]'));
  } catch {
    ids = new Set();
  }
  return ids;
}

export const downloaded = {
  has: (id) => known().has(id),

  add(id) {
    known().add(id);
    try {
      localStorage.setItem(NAME, JSON.stringify([...known()].slice(-MOST)));
    } catch {
      // It is known as long as the page lasts, then.
    }
  },
};
