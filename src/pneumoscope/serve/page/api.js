// The server's answers; a token is remembered until the page is closed.

let token = null;
let asking = null;

/** What the server says is wrong. */
export class Refused extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function ask(path, options = {}, answerOf = (answer) => answer.json()) {
  for (;;) {
    const used = token, headers = { ...options.headers, ...(used === null ? {} : { Authorization: `Bearer ${used}` }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, credentials: "omit" });
    } catch {
      throw new Refused(0, "The server does not answer. Is it still running?", 0);
    }
    if (answer.status !== 401) {
      if (!answer.ok) throw await refusal(answer);
      return answerOf(answer);
    }
    // Another request may have asked in the meantime.
    if (token !== used) continue;
    token = await (asking ??= tokenFromUser(Boolean(used)));
    asking = null;
  }
}

async function refusal(answer) {
  const known = await answer.json().catch(() => ({}));
  const wait = Number(answer.headers.get("Retry-After") ?? 0);
  return new Refused(answer.status, known.detail ?? `The server answered ${answer.status}.`, wait);
}

function tokenFromUser(wrong) {
  const dialog = document.getElementById("token-dialog"), field = document.getElementById("token");
  return new Promise((resolve) => {
    field.value = "";
    document.getElementById("token-wrong").hidden = !wrong;
    dialog.showModal();
    const use = () => {
      if (field.value) dialog.close();
    };
    document.getElementById("token-use").onclick = use;
    field.onkeydown = (event) => event.key === "Enter" && use();
    dialog.onclose = () => resolve(field.value.trim());
  });
}

/** What the server judges with. */
export const getModel = () => ask("v1/model");

/** The model card as a piece of HTML, made by the server from Markdown without any HTML of its own. */
export const getCard = (path) => ask(`${path}.html`, {}, (answer) => answer.text());

/** A finding that the server keeps. */
export const getFinding = (id) => ask(`v1/findings/${id}`);

/** Keep a person's reading beside the finding. @param {import("./reading.js").Reading} reading */
export const putReading = (id, { agrees, boxes, note, reader }) =>
  ask(`v1/findings/${id}/reading`, {
    method: "PUT", body: JSON.stringify({ agrees, boxes, note, reader }), headers: { "Content-Type": "application/json" },
  });

/** The bytes of a picture or another file. */
export const getBytes = async (path) => new Uint8Array(await ask(path, {}, (answer) => answer.arrayBuffer()));

/** Let the server forget a film. */
export const forget = (id) => ask(`v1/findings/${id}`, { method: "DELETE" }, () => null);

/** Judge a film; its name stays here. A full queue is waited for, `waiting` told about it. */
export async function judge(file, waiting) {
  for (;;) {
    const body = new FormData();
    body.append("files", file, "film");
    try {
      return (await ask("v1/findings", { method: "POST", body })).findings[0];
    } catch (error) {
      if (error.status !== 429) throw error;
      waiting();
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(error.retryAfter, 1)));
    }
  }
}
