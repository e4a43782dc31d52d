// What the edge does with JavaScript's requests and responses, in as few
// crossings as it can. Nothing is decided here; lists of headers come from Rust
// as lines, and an answer goes to the client in the way that Rust says.

// Larger bodies are sent on by a stream of their own, which tells when it is done.
const SMALL_BODY = 64 * 1024;
// An answer up to this length is taken in one piece, if it comes in one.
const SMALL_ANSWER = 64 * 1024;
// What is read at a time.
const PIECE = 64 * 1024;
// A stream beyond this is no longer looked at: who reads for us must not get
// much further than who reads for the client.
const MAX_SEEN = 32 * 1024 * 1024;
// A stream is looked at after so long, then after twice that, up to the last.
const FIRST_LOOK_MS = 50;
const LAST_LOOK_MS = 1000;
// More than that in one look, and the next one comes soon again.
const MUCH = 256 * 1024;
// How long a read that finds nothing is waited for at the end of a stream: what
// there is to find is in memory.
const QUIET_MS = 5;
// How long one asks whose end it was.
const GRACE_MS = 1000;
// A response can have no other; and none of these has a body.
const LAST_STATUS = 599;
const BODILESS = [204, 205, 304];
const NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const ENCODER = new TextEncoder();
// setTimeout takes no more.
const MAX_MS = 0x7fffffff;

const BROKEN = "the answer broke off";

// A body that must be known before it is known where it goes comes within that time.
const BODY_MS = 600_000;
// Between the parts of a leg: no header can hold it.
const SECTION = "\x1f";
// Of an answer's headers, those that tell when to come again.
const SIGNS = /ratelimit|^retry-after/;
// Of an error with such a status, what it says may change whom to ask.
const MAY_TELL = [400, 403, 413, 422, 429];
// What has begun may be one long line; more of it is not waited for.
const MAX_OPENING = 64 * 1024;
// What Rust says of the beginning of a stream.
const UNCLEAR = 0;
const FAULTY = 2;

// How the passing on of an answer ended, in Rust's numbers.
const CLEAN = 0;
const CUT = 1;
const STALLED = 2;
const OVERRAN = 3;
const LEFT = 4;
const UNSEEN = 5;

// How an answer is passed on, in Rust's numbers: unseen by Rust; natively, with a
// second branch of it for Rust; piece by piece, with something taken out; piece by
// piece, and another may go on with it. The rest goes piece by piece through Rust.
const UNREAD = 0;
const TEE = 2;
const FILTER = 3;
const JOIN = 4;

// Functions of Rust's.
let rust;

export function install(asked, failed, opening, answered, broke, piece, ended, unanswered) {
  rust = { asked, failed, opening, answered, broke, piece, ended, unanswered };
}

// Method, URL, then the name and value of each header, a line each.
export function head(request) {
  let text = request.method + "\n" + request.url + "\n";
  // Half the price of an iterator.
  request.headers.forEach((value, name) => { text += name + "\n" + value + "\n"; });
  return text;
}

export function answer(status, headers, body) {
  const response = new Response(body, { status });
  set(response.headers, headers);
  return response;
}

// Sends a request upstream and makes the client's response of the answer; where
// there is none to pass on, Rust makes it, told in a word why. `leg` is where it
// goes first, or "" where Rust must have read the body to know. `length` is that
// of the body, if it is declared, else -1. Without an `exchange` (0) nobody asks how it ends.
export function forward(context, request, exchange, ...rest) {
  const answered = carry(context, request, exchange, ...rest);
  // So that it comes to its end even if the client leaves.
  if (exchange !== 0) context.waitUntil(answered);
  return answered;
}

async function carry(context, request, exchange, api, leg, answerHeaders, length, maxBody, isBodyRead) {
  const x = new Exchange(context, exchange, request, leg);
  try {
    const upstream = await x.answerTo(length, maxBody, isBodyRead);
    return await x.passOn(upstream, (body) => {
      const response = new Response(BODILESS.includes(upstream.status) ? null : body, upstream);
      const nominated = response.headers.get("connection");
      if (nominated !== null) remove(response.headers, names(nominated));
      remove(response.headers, x.leg.answerWithheld);
      set(response.headers, answerHeaders + x.leg.told);
      return response;
    });
  } catch {
    x.rest();
    const { firstByteMs = 0, told = "" } = x.leg ?? {};
    return rust.unanswered(exchange, x.why(), api, firstByteMs, answerHeaders + told, x.upload?.length ?? x.bytesIn);
  }
}

// One way for a request, as Rust writes it.
function legOf(text) {
  const [url, times, withheld, headers, answerWithheld, told, edits] = text.split(SECTION);
  const [firstByteMs, firstTokenMs, idleMs, totalMs, waitMs, mayRetry] = times.split(" ").map(Number);
  const headersOf = { withheld, headers, answerWithheld, told };
  return { url, edits, firstByteMs, firstTokenMs, idleMs, totalMs, waitMs, mayRetry: mayRetry === 1, ...headersOf };
}

class Exchange {
  constructor(context, id, request, leg) {
    this.context = context;
    this.id = id;
    this.request = request;
    this.leg = leg === "" ? undefined : legOf(leg);
    // What was read of the request's body.
    this.body = undefined;
    // Why the last provider asked is no help, and what it said itself.
    this.word = undefined;
    this.refusal = undefined;
    // Gives up waiting for one provider, where others can be asked.
    this.giveUp = undefined;
    // What was read of an answer before it was passed on.
    this.held = [];
    this.abort = new AbortController();
    this.stopped = new Promise((stopped) => { this.tellStopped = stopped; });
    // Who reads the answer, if that is not the platform.
    this.reader = undefined;
    // Why it was stopped, if it was.
    this.how = undefined;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.upload = undefined;
    // Rust does not let the request pass.
    this.isTooLarge = false;
    this.isDenied = false;
    this.isAnswered = false;
    // Rust wants no more of the answer: it ends in an error.
    this.isRefused = false;
    // What is asked now is to go on with what the client has.
    this.isJoining = false;
    // Of the whole, of the upstream's silence, and of the timer.
    this.total = Date.now() + (this.leg?.totalMs ?? BODY_MS);
    this.begun = Date.now();
    this.silence = Infinity;
    this.wakeAt = Infinity;
    this.timer = undefined;
    this.look = undefined;
    this.lookEvery = FIRST_LOOK_MS;
    if (id !== 0) {
      request.signal.addEventListener("abort", () => this.stop(LEFT));
      if (request.signal.aborted) this.stop(LEFT);
    }
  }

  // The answer to the request, whose body may have to be read first.
  async answerTo(length, maxBody, isBodyRead) {
    const { request } = this;
    this.bytesIn = Math.max(length, 0);
    const isSmall = length >= 0 && length <= SMALL_BODY;
    // Once, for all that is awaited: it looks then whether there is more to wait for.
    this.setTimer(this.leg?.firstByteMs);
    // Read, so that it is known whether it was the client that broke off.
    if (isBodyRead || (this.id !== 0 && isSmall && request.body !== null)) {
      await this.readBody(request, isBodyRead, length, maxBody);
    }
    return this.firstHelpful(isSmall, length, maxBody);
  }

  // The answer of the first provider that is of help, or of the last.
  async firstHelpful(isSmall, length, maxBody) {
    for (;;) {
      let upstream;
      try {
        this.word = undefined;
        this.refusal = undefined;
        upstream = await this.ask(isSmall, length, maxBody);
        upstream = await this.helpful(upstream);
      } catch (error) {
        if (this.how !== undefined) throw error;
        this.word ??= this.why();
      }
      const isHelpless = this.word !== undefined || upstream.status >= 400;
      if (isHelpless && this.leg.mayRetry && this.upload === undefined) {
        const other = rust.failed(this.id, this.word ?? "", upstream?.status ?? 0, signs(upstream), this.refusal);
        if (other !== undefined) {
          upstream?.body?.cancel().catch(() => {});
          this.held = [];
          this.leg = legOf(other);
          await this.pause();
          continue;
        }
      }
      if (this.word !== undefined) throw new Error(this.word);
      return upstream;
    }
  }

  // Before the next is asked, where there is to be one.
  async pause() {
    this.silence = Infinity;
    if (this.leg.waitMs > 0) await this.unlessStopped(sleep(this.leg.waitMs));
  }

  async ask(isSmall, length, maxBody) {
    const { request } = this;
    const { url, withheld, headers, firstByteMs, edits, mayRetry } = this.leg;
    const options = { redirect: "manual" };
    // Where the body has been read, a request of its own would only be one more to make.
    const outgoing = this.body !== undefined
      ? Object.assign(options, { method: request.method, headers: new Headers(request.headers), body: edited(this.body, edits) })
      : request.body === null || isSmall
        // The client's request is cloned as a whole; its headers are then edited.
        ? new Request(url, request)
        : this.withUpload(request, url, length, maxBody);
    if (edits !== "") outgoing.headers.delete("content-length");
    remove(outgoing.headers, withheld);
    set(outgoing.headers, headers);
    const { upload } = this;
    // Each is ended alone.
    if (this.isJoining) this.abort = new AbortController();
    // Of an answer to a request with a signal each read costs more.
    if (upload !== undefined || this.isJoining) options.signal = this.abort.signal;
    const answered = fetch(this.body === undefined ? outgoing : url, options);
    // What a client takes to send a large body is not the upstream's silence.
    if (upload === undefined) this.expect(firstByteMs);
    // A body that broke off must not end upstream as if it were whole. But an
    // upstream that has answered may stop reading: its answer still counts.
    else upload.done.then(() => { if (!upload.isAnswered) this.expect(firstByteMs); }, () => {
      upload.failed = true;
      if (!upload.isAnswered || upload.exceeded) this.abort.abort();
    });
    const upstream = await this.unlessStopped(mayRetry ? this.unlessSilent(answered) : answered);
    if (upload !== undefined) upload.isAnswered = true;
    this.silence = Infinity;
    return upstream;
  }

  // What comes of it, unless that is waited for in vain.
  unlessSilent(coming) {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.word = "timeout";
        if (this.isJoining) this.abort.abort();
        reject(new Error(this.word));
        // It ends with its request, or when it comes.
        coming.then((late) => late?.body?.cancel?.()).catch(() => {});
      };
      this.giveUp = giveUp;
      // What is given up may end when another is awaited.
      const over = (then) => (value) => {
        if (this.giveUp === giveUp) this.giveUp = undefined;
        then(value);
      };
      coming.then(over(resolve), over(reject));
    });
  }

  // An answer that can be passed on; where it cannot, it says why.
  async helpful(upstream) {
    const { status } = upstream;
    if (isRedirect(status) || status > LAST_STATUS) {
      await upstream.body?.cancel();
      this.word = status > LAST_STATUS ? "no_status" : "redirect";
    } else if (isPlatforms(status)) {
      const own = await this.ownError(upstream, this.leg.firstByteMs);
      if (own !== undefined) return own;
      this.word = "unreachable";
    } else if (this.leg.mayRetry && status === 200 && isStream(upstream)) {
      await this.open(upstream);
    } else if (this.leg.mayRetry && MAY_TELL.includes(status)) {
      // What is wrong with the request may not be wrong elsewhere.
      this.expect(this.leg.firstByteMs);
      const read = readUpTo(upstream.clone().body, SMALL_ANSWER).catch(() => undefined);
      const copy = await this.unlessStopped(this.unlessSilent(read)).catch((error) => {
        if (this.how !== undefined) throw error;
        // Its status tells enough.
        this.word = undefined;
      });
      this.silence = Infinity;
      if (copy !== undefined) this.refusal = new Uint8Array(copy);
    }
    return upstream;
  }

  // Reads the beginning of a stream: nothing has reached the client until then.
  async open({ body }) {
    const reader = body.getReader({ mode: "byob" });
    try {
      for (let buffer = new Uint8Array(PIECE), length = 0, opening = UNCLEAR; opening === UNCLEAR && length < MAX_OPENING; ) {
        this.expect(this.leg.firstTokenMs);
        const { done, value } = await this.unlessStopped(this.unlessSilent(reader.read(buffer)));
        if (done) break;
        this.held.push(value.slice());
        buffer = new Uint8Array(value.buffer);
        length += value.byteLength;
        opening = rust.opening(this.id, value);
        if (opening === FAULTY) this.word = "faulty";
      }
    } catch (error) {
      this.word ??= "broken";
      reader.cancel().catch(() => {});
      throw error;
    }
    this.silence = Infinity;
    reader.releaseLock();
  }

  async readBody(request, isTold, length, maxBody) {
    const whole = length < 0 && request.body !== null ? readUpTo(request.body, maxBody) : request.arrayBuffer();
    const read = await this.unlessStopped(whole.catch(() => this.stop(LEFT)));
    this.isTooLarge = read === undefined;
    if (this.isTooLarge) throw new Error("too large");
    this.body = new Uint8Array(read);
    this.bytesIn = this.body.byteLength;
    if (!isTold) return;
    const told = rust.asked(this.id, this.body);
    this.isDenied = told === false;
    if (this.isDenied) throw new Error("denied");
    if (this.leg === undefined) {
      this.leg = legOf(told);
      this.total = this.begun + this.leg.totalMs;
    } else if (told !== undefined) this.leg.edits = told;
  }

  withUpload(request, url, length, maxBody) {
    const { method, headers } = request;
    this.upload = send(request.body, length, maxBody);
    return new Request(url, { method, headers, body: this.upload.body });
  }

  // An answer with a status of the platform's, its body read, if the provider
  // gave it: the platform speaks in text, in HTML, or in JSON without `error`.
  async ownError(upstream, ms) {
    try {
      this.expect(ms);
      const read = readUpTo(upstream.body, SMALL_ANSWER);
      const bytes = await this.unlessStopped(this.leg.mayRetry ? this.unlessSilent(read) : read);
      this.silence = Infinity;
      if (bytes === undefined || !tellsError(JSON.parse(new TextDecoder().decode(bytes)))) return undefined;
      const own = new Response(bytes, upstream);
      // It is decoded.
      own.headers.delete("content-encoding");
      own.headers.set("content-length", bytes.byteLength);
      return own;
    } catch {
      return undefined;
    }
  }

  // What it resolves to. An exchange that is stopped goes no further; what it
  // leaves open upstream ends with its request.
  async unlessStopped(promise) {
    const value = await Promise.race([promise, this.stopped]);
    if (this.how !== undefined) throw new Error("stopped");
    return value;
  }

  // Why there is no answer.
  why() {
    if (this.isTooLarge || this.upload?.exceeded) return "too_large";
    if (this.isDenied) return "denied";
    if (this.word !== undefined && (this.how === undefined || this.how === STALLED)) return this.word;
    if (this.how === OVERRAN) return "overran";
    if (this.how === LEFT) return "left";
    if (this.upload?.failed) return "cut_off";
    if (this.isAnswered) return this.how === undefined ? "broken" : "stalled";
    return this.how === undefined ? "unreachable" : "timeout";
  }

  async passOn(upstream, respond) {
    const { body, headers } = upstream;
    if (this.id === 0) {
      this.rest();
      return respond(body);
    }
    this.isAnswered = true;
    const told = this.leg.mayRetry ? signs(upstream) : "";
    const mode = rust.answered(this.id, upstream.status, headers.get("content-type") ?? "", told);
    const declared = headers.get("content-length");
    if (body === null || declared === "0") {
      this.end(CLEAN);
      return respond(body);
    }
    // What is read here is decoded, and encoded again for the client.
    const length = declared === null || headers.has("content-encoding") ? -1 : Number(declared);
    if (mode === TEE) return this.byTee(body, respond);
    this.isLengthKept = length >= 0 && mode !== FILTER && mode !== JOIN;
    this.reader = body.getReader({ mode: "byob" });
    let first;
    if (this.held.length > 0) {
      first = { value: this.held.shift(), done: false };
    } else if (this.isLengthKept && length <= SMALL_ANSWER) {
      this.expect(this.leg.idleMs);
      first = await this.unlessStopped(this.reader.read(new Uint8Array(length)));
      this.silence = Infinity;
      if (first.value?.byteLength === length) {
        const taken = this.take(first.value, mode);
        const rest = this.end(CLEAN);
        if (rest === false) return respond(broken(length));
        if (!(rest?.byteLength > 0)) return respond(taken);
        const response = respond(await new Blob([taken, rest]).arrayBuffer());
        response.headers.delete("content-length");
        return response;
      }
    }
    // What something is taken from has no length that is known.
    const { readable, writable } = this.isLengthKept ? new FixedLengthStream(length) : new IdentityTransformStream();
    const response = respond(readable);
    if (!this.isLengthKept) response.headers.delete("content-length");
    this.context.waitUntil(this.byPieces(writable, mode, first));
    return response;
  }

  async byPieces(writable, mode, first) {
    const writer = writable.getWriter();
    let how = await this.passPieces(writer, mode, first);
    while (mode === JOIN && (await this.another(how))) how = await this.passPieces(writer, mode);
    writer.releaseLock();
    await this.finish(writable, how);
  }

  // Each piece is passed on before the next is read: what the client does not
  // read stays with the upstream. How that ended.
  async passPieces(writer, mode, first) {
    const { reader } = this;
    try {
      for (let buffer, next = first; ; next = undefined) {
        if (next === undefined && this.held.length > 0) next = { value: this.held.shift(), done: false };
        const isRead = next === undefined;
        if (isRead) {
          this.expect(this.leg.idleMs);
          const reading = reader.read(buffer ?? new Uint8Array(PIECE));
          next = await (mode === JOIN ? this.unlessSilent(reading) : reading);
          this.silence = Infinity;
        }
        if (next.done) return CLEAN;
        const written = writer.write(this.take(next.value, mode)).then(() => true, () => this.stop(LEFT));
        if (!(await Promise.race([written, this.stopped])) || this.isRefused) throw new Error("stopped");
        // What was held before has a buffer just as long as itself.
        if (isRead) buffer = new Uint8Array(next.value.buffer);
      }
    } catch {
      reader.cancel().catch(() => {});
      return this.word === "timeout" ? STALLED : CUT;
    }
  }

  // Whether there is a stream that may go on with the one that ended so.
  async another(how) {
    const other = this.how === undefined ? rust.broke(this.id, how) : undefined;
    if (other === undefined) return false;
    this.leg = legOf(other);
    this.held = [];
    this.isRefused = false;
    this.isAnswered = false;
    this.isJoining = true;
    try {
      await this.pause();
      const upstream = await this.firstHelpful(true);
      const type = upstream.headers.get("content-type") ?? "";
      if (rust.answered(this.id, upstream.status, type, signs(upstream)) === JOIN) {
        this.reader = upstream.body.getReader({ mode: "byob" });
        return true;
      }
      upstream.body?.cancel().catch(() => {});
    } catch {
      // Rust has heard of it.
    }
    return false;
  }

  // The client's branch flows natively, through a stream that can be added to.
  byTee(body, respond) {
    const { readable, writable } = new IdentityTransformStream();
    const options = { preventClose: true, preventAbort: true, signal: this.abort.signal };
    const piped = this.writeHeld(writable).then(() => body.pipeTo(writable, options)).then(() => CLEAN, () => CUT);
    const [clients, ours] = readable.tee();
    const response = respond(clients);
    response.headers.delete("content-length");
    this.context.waitUntil(this.observe(piped, ours.getReader({ mode: "byob" }), writable));
    return response;
  }

  async writeHeld(writable) {
    if (this.held.length === 0) return;
    const writer = writable.getWriter();
    for (const piece of this.held) await writer.write(piece);
    writer.releaseLock();
  }

  // Our branch is read now and then, in large pieces: that bounds what it holds,
  // and a read that stays pending is the upstream's silence. The rest is read
  // when the upstream has ended.
  async observe(piped, reader, writable) {
    let buffer = new Uint8Array(PIECE);
    let reading;
    let seen = 0;
    const read = async () => {
      for (let isShort = false; !isShort && !this.isUnseen; ) {
        const { done, value } = await reader.read(buffer);
        if (done) return;
        if (this.look !== undefined) this.expect(this.leg.idleMs);
        this.take(value, TEE);
        seen += value.byteLength;
        isShort = value.byteLength < PIECE;
        buffer = new Uint8Array(value.buffer);
        if (this.bytesOut > MAX_SEEN) {
          this.isUnseen = true;
          this.look = undefined;
          this.silence = Infinity;
          await reader.cancel();
        }
      }
    };
    const readOn = () => {
      reading ??= read().catch(() => {}).finally(() => { reading = undefined; });
      return reading;
    };
    this.look = () => {
      // Twice at least in the time that the upstream may be silent.
      this.lookEvery = Math.min(seen < MUCH ? 2 * this.lookEvery : FIRST_LOOK_MS, LAST_LOOK_MS, this.leg.idleMs / 2);
      seen = 0;
      readOn();
    };
    this.silence = Date.now() + this.leg.idleMs;
    this.lookEvery = Math.min(FIRST_LOOK_MS, this.leg.idleMs / 2);
    this.setTimer();
    const how = await piped;
    this.look = undefined;
    this.silence = Infinity;
    // A read that began before may not have taken all that there is; one that
    // begins now does, and if there is nothing it stays pending.
    if (reading !== undefined) await Promise.race([reading, sleep(QUIET_MS)]);
    if (reading === undefined && !this.isUnseen) await Promise.race([readOn(), sleep(QUIET_MS)]);
    // Where nobody reads any more, it may be the client that left: one hears soon.
    if (how === CUT && this.isUnseen) await Promise.race([this.stopped, sleep(GRACE_MS)]);
    reader.cancel().catch(() => {});
    await this.finish(writable, how);
  }

  // What the client gets of a piece that has come.
  take(piece, mode) {
    let passed = mode === UNREAD ? undefined : rust.piece(this.id, piece);
    if (Array.isArray(passed)) {
      // The answer ends here; or, where it has passed on already, as soon as it can.
      [passed] = passed;
      this.isRefused = true;
      this.abort.abort();
    }
    const taken = passed ?? piece;
    this.bytesOut += taken.byteLength;
    return taken;
  }

  // A stream that broke ends with an error in the provider's own form, which
  // Rust gives; where there is none, it must not end as if it were whole.
  async finish(writable, how) {
    how = this.how ?? how;
    const rest = this.end(how === CLEAN && this.isUnseen ? UNSEEN : how);
    try {
      const writer = writable.getWriter();
      const isAppended = rest?.byteLength > 0 && !this.isLengthKept && !this.isUnseen;
      if (isAppended) await writer.write(rest);
      if (rest === undefined ? how === CLEAN : isAppended || rest.byteLength === 0) await writer.close();
      else await writer.abort(new Error(BROKEN));
    } catch {
      // The client has left, or does not read.
    }
  }

  end(how) {
    this.rest();
    return rust.ended(this.id, how, this.upload?.length ?? this.bytesIn, this.bytesOut);
  }

  stop(how) {
    if (this.how !== undefined) return;
    this.how = how;
    this.abort.abort();
    this.tellStopped();
    this.reader?.cancel().catch(() => {});
  }

  // From now on the upstream is expected to say something within `ms`.
  expect(ms) {
    this.silence = Date.now() + ms;
    if (this.silence < this.wakeAt) this.setTimer();
  }

  // For the next thing that may be over; in `soonest` ms at the latest.
  setTimer(soonest = Infinity) {
    clearTimeout(this.timer);
    const now = Date.now();
    const look = this.look === undefined ? Infinity : this.lookEvery;
    this.wakeAt = Math.min(this.total, this.silence, now + Math.min(look, soonest));
    this.timer = setTimeout(() => this.wake(), Math.min(this.wakeAt - now, MAX_MS));
  }

  wake() {
    if (this.wakeAt === -Infinity) return;
    const now = Date.now();
    if (now >= this.total) return this.stop(OVERRAN);
    if (now >= this.silence) {
      if (this.giveUp === undefined) return this.stop(STALLED);
      this.silence = Infinity;
      this.giveUp();
    }
    this.look?.();
    this.setTimer();
  }

  // The timer ends with its request; that costs less than to end it.
  rest() {
    this.wakeAt = -Infinity;
  }
}

// It is not followed, nor told: the client would take its token there.
function isRedirect(status) {
  return status >= 300 && status < 400 && status !== 304;
}

// With these Cloudflare says that it cannot reach an origin; a provider may use them too.
function isPlatforms(status) {
  return (status >= 520 && status <= 526) || status === 530;
}

// In the form of any provider; Gemini's may be in an array.
function tellsError(document) {
  const error = [document].flat()[0]?.error;
  return typeof error === "string" || (typeof error === "object" && error !== null);
}

// A body that does not come to its end.
function broken(length) {
  const { readable, writable } = new FixedLengthStream(length);
  writable.abort(new Error(BROKEN)).catch(() => {});
  return readable;
}

function isStream(upstream) {
  return upstream.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
}

// Of an answer's headers, those that tell when to come again, as lines.
function signs(upstream) {
  let lines = "";
  upstream?.headers.forEach((value, name) => { if (SIGNS.test(name)) lines += name + "\n" + value + "\n"; });
  return lines;
}

// A body with some places written anew, told as lines: from where, up to where, what.
function edited(body, edits) {
  if (edits === "") return body;
  const parts = [];
  let from = 0;
  for (const edit of edits.split("\n")) {
    const [start, end] = edit.split(" ", 2);
    parts.push(body.subarray(from, Number(start)), ENCODER.encode(edit.slice(start.length + end.length + 2)));
    from = Number(end);
  }
  parts.push(body.subarray(from));
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

// None if it is longer.
async function readUpTo(body, limit) {
  const pieces = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.byteLength;
    if (length > limit) return undefined;
    pieces.push(piece);
  }
  return new Blob(pieces).arrayBuffer();
}

function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

// Those in a list that are names; what is none cannot be there.
function names(list) {
  return list.split(",").map((name) => name.trim()).filter((name) => NAME.test(name)).join("\n");
}

function remove(headers, lines) {
  if (lines !== "") for (const name of lines.split("\n")) headers.delete(name.trim());
}

function set(headers, lines) {
  const parts = lines.split("\n");
  for (let at = 0; at + 1 < parts.length; at += 2) {
    // What an answer depends on adds up.
    if (parts[at] === "vary") headers.append("vary", parts[at + 1]);
    else headers.set(parts[at], parts[at + 1]);
  }
}

// Streams a body on, and tells when all of it was sent.
function send(body, length, maxBody) {
  if (length >= 0) {
    const { readable, writable } = new FixedLengthStream(length);
    return { body: readable, done: body.pipeTo(writable), exceeded: false, failed: false, isAnswered: false };
  }
  const { readable, writable } = new IdentityTransformStream();
  const upload = { body: readable, done: undefined, exceeded: false, failed: false, isAnswered: false, length: 0 };
  upload.done = count(body, writable.getWriter(), maxBody, upload);
  return upload;
}

// Each chunk is taken on before the next is read, so that memory stays flat.
async function count(body, writer, maxBody, upload) {
  const reader = body.getReader({ mode: "byob" });
  let buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const { done, value } = await reader.read(buffer);
    if (done) return writer.close();
    upload.length += value.byteLength;
    if (upload.length > maxBody) {
      upload.exceeded = true;
      throw new Error("the request body is too large");
    }
    await writer.write(value);
    buffer = new Uint8Array(value.buffer);
  }
}
