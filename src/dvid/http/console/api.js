// The server's HTTP API, as far as the page asks for it. Paths are relative: the page may live below a prefix.

/** A request that was refused or not answered; the message is the server's own. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", 0);
  }
  if (!response.ok) {
    const text = (await response.text()).trim();
    throw new ApiError(text.slice(0, 2000) || `The server answered ${response.status}.`, response.status);
  }
  return response;
}

export async function getJson(path, signal) {
  return (await request(path, { signal })).json();
}

export async function getBuffer(path, signal) {
  return (await request(path, { signal })).arrayBuffer();
}

/** An answer that is a gzip file, unpacked. */
export async function getUnpacked(path, signal) {
  const { body } = await request(path, { signal });
  return new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** The first bytes of a long answer, and how many it has in all. */
export async function getBeginning(path, bytes, signal) {
  try {
    const response = await request(path, { headers: { Range: `bytes=0-${bytes - 1}` }, signal });
    const buffer = await response.arrayBuffer();
    const total = /\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
    return { buffer, total: total ? Number(total[1]) : buffer.byteLength };
  } catch (error) {
    if (error.status === 416) return { buffer: new ArrayBuffer(0), total: 0 }; // no byte of an empty value exists
    throw error;
  }
}

/** The beginning of a JSON list of texts, read no further than some characters: {items, complete}. */
export async function getListBeginning(path, characters, signal) {
  const response = await request(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { items: JSON.parse(text), complete: true };
    text += value;
    if (text.length > characters) break;
  }
  await reader.cancel();
  for (let end = text.lastIndexOf('","'); end > 0; end = text.lastIndexOf('","', end - 1)) {
    try {
      return { items: JSON.parse(`${text.slice(0, end)}"]`), complete: false };
    } catch {
      // that quote belonged to a key: look further ahead
    }
  }
  return { items: [], complete: false };
}

export const nodePath = (uuid, ...parts) => `api/node/${[uuid, ...parts].map(encodeURIComponent).join("/")}`;
