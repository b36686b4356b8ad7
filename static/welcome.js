// Greets whoever opened an invitation: a link with a key (`#key=…`). The server says whose key it is.

const OWNERS = 'local'; // the name of the key that a start makes: nobody was invited with it

let invited = false;

export const welcome = {
  /** The page was opened by a link with a key: the next `show` greets. */
  expect() {
    invited = true;
  },

  /** `page` is the first page of the key's conversions; what the page is for is said until there are some. */
  show({ key: name, jobs }) {
    if (!invited || !name || name === OWNERS) return;
    invited = false;
    const greeting = Object.assign(document.createElement('h2'), { className: 'welcome-title', textContent: 'Hello ' });
    greeting.append(Object.assign(document.createElement('bdi'), { textContent: name }));
    const element = Object.assign(document.createElement('aside'), { id: 'welcome', className: 'welcome' });
    element.append(greeting);
    if (!jobs.length) {
      const words = 'You’re invited to turn YouTube videos into MP3s here. This browser keeps the key from your link, so you can come back without it.';
      element.append(Object.assign(document.createElement('p'), { textContent: words }));
    }
    this.hide();
    document.getElementById('converter').before(element);
    document.getElementById('form').addEventListener('submit', () => this.hide(), { once: true }); // room for the first card
  },

  hide() {
    document.getElementById('welcome')?.remove();
  },
};
