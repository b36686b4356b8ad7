// The player script of the offline YouTube: it poses the two challenges that the real one poses, so that yt-dlp's
// solver and its JavaScript runtime have something to do. challenge.py holds the same arithmetic in Python.
(function () {
  "use strict";
  const configuration = { signatureTimestamp: 20601 };
  const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz";

  const swap = function (letters, position) {
    const place = position % letters.length;
    const first = letters[0];
    letters[0] = letters[place];
    letters[place] = first;
  };

  const unscramble = function (signature) {
    const letters = signature.split("");
    letters.reverse();
    swap(letters, 7);
    swap(letters, 19);
    return letters.slice(3).join("");
  };

  const settle = function (n) {
    let carry = 5;
    let result = "";
    for (let position = 0; position < n.length; position += 1) {
      carry = (alphabet.indexOf(n[position]) + position * 3 + carry) % alphabet.length;
      result = alphabet[carry] + result;
    }
    return result;
  };

  class MediaAddress {
    constructor(address) {
      this.address = address;
      this.parameters = new Map();
    }

    set(name, value) {
      this.parameters.set(name, value);
    }

    get(name) {
      return this.parameters.get(name) ?? null;
    }

    settleThrottle() {
      const n = this.get("n");
      if (n) {
        this.set("n", settle(n));
      }
    }
  }

  function mediaAddress(address, signatureName, signature) {
    const media = new MediaAddress(address);
    media.set("alr", "yes");
    if (signature) {
      media.set(signatureName, encodeURIComponent(unscramble(decodeURIComponent(signature))));
    }
    return media;
  }
}).call(this);
