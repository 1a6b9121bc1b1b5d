// How a client's script talks to the test: the test says what app it is and plays the person.
import { createInterface } from "node:readline/promises";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);

export const app = await read();

// Where the person's browser ends up after opening `url`.
export async function open(url) {
  console.log(JSON.stringify({ open: String(url) }));
  return new URL((await read()).callback);
}

export function done(facts) {
  console.log(JSON.stringify({ done: facts }));
  process.exit(0);
}

export async function callModel(token, scheme = "Bearer", headers = {}) {
  const answer = await fetch(`${app.issuer}/v1/models`, {
    headers: { authorization: `${scheme} ${token}`, ...headers },
  });
  return answer.status;
}

// The status once the token is refused, or what it still is after the second that a revocation may take.
export async function callRevoked(token) {
  const end = Date.now() + 1000;
  let status = await callModel(token);
  while (status === 200 && Date.now() < end) status = await callModel(token);
  return status;
}
