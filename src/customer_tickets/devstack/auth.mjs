// Supabase's own auth implementation (@supabase/lite), auth routes only, with what it needs to
// serve supabase_auth the way a hosted project does. Started by parts.py; one line per repair says
// what goes wrong without it, and tests/stack/test_devstack_auth.py holds each of them.
//
// Environment: AUTH_PORT, DATABASE_URL (role supabase_auth_admin), JWT_SECRET, API_URL (the
// gateway's address), TOKEN_LIFETIME (seconds), CONTROL_KEY (opens /mails, /hash and, when FAULTS is
// set, /faults).
import { AsyncLocalStorage } from "node:async_hooks";
import { serve } from "@hono/node-server";
import { App, InMemoryEmailDriver } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import bcrypt from "bcryptjs";
import { jwtVerify, SignJWT } from "jose";

const { AUTH_PORT, DATABASE_URL, JWT_SECRET, API_URL, TOKEN_LIFETIME, CONTROL_KEY, FAULTS } = process.env;
const secret = new TextEncoder().encode(JWT_SECRET);
const request = new AsyncLocalStorage();

// A lost database connection is thrown outside of any request: it must not end the process, the
// pool connects again by itself. Anything else does, and the supervisor starts a fresh one.
const CONNECTION_LOST = /^(CONNECTION_|ECONN|EPIPE|57P0)/;
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => {
    console.error(event, error?.code, error?.message);
    if (!CONNECTION_LOST.test(error?.code ?? "")) process.exit(1);
  });
}

// Postgres writes "2026-11-22 15:47:16.335+00", which is not the ISO 8601 that clients parse.
const isoTime = (text) =>
  /^\d/.test(text) ? text.replace(" ", "T").replace(/([+-]00)?$/, "Z") : text;
const time = (oid) => ({ to: oid, from: [oid], serialize: (value) => value, parse: isoTime });
// The caller passes JSON text: encoded once more it would be stored as one JSON string.
const json = (oid) => ({
  to: oid,
  from: [oid],
  serialize: (value) => (typeof value === "string" ? value : JSON.stringify(value)),
  parse: (text) => JSON.parse(text),
});

const connection = createPostgresConnection({
  url: DATABASE_URL,
  postgresOptions: {
    max: 5,
    onnotice: () => {},
    types: { timestamptz: time(1184), timestamp: time(1114), json: json(114), jsonb: json(3802) },
  },
});
// Otherwise the first request grants ALL on every table to the API roles.
connection.rlsState = "active";

class Mailbox extends InMemoryEmailDriver {
  // The links ignore where the client asked to be sent afterwards.
  async send(message) {
    const wanted = request.getStore()?.redirectTo;
    const rewrite = (text) =>
      text?.replace(/redirect_to=[^"&\s<]*/g, `redirect_to=${encodeURIComponent(wanted)}`);
    await super.send(
      wanted ? { ...message, text: rewrite(message.text), html: rewrite(message.html) } : message,
    );
  }
}
const mailbox = new Mailbox({ maxKeepCount: 1000 });

const app = new App({
  connection,
  auth: {
    enabled: true,
    jwt_secret: JWT_SECRET,
    jwt_expiry: Number(TOKEN_LIFETIME),
    site_url: API_URL,
    additional_redirect_urls: ["**"],
    email: { enable_confirmations: false },
  },
  options: { drivers: { email: mailbox } },
});

// Which way each session was opened with: a refreshed token says so again.
const methods = new Map();

// The fault switch: how long tokens live, in seconds, when not as configured.
let shortened;

// Tokens come without what policies and clients read from them: add it and sign again.
async function completed(token, user, method) {
  const { payload } = await jwtVerify(token, secret);
  const known = methods.get(payload.session_id);
  const amr = known ?? [{ method: method ?? "password", timestamp: payload.iat }];
  methods.set(payload.session_id, amr);
  if (methods.size > 10_000) methods.delete(methods.keys().next().value);
  return await new SignJWT({
    ...payload,
    ...(shortened !== undefined && { exp: payload.iat + shortened }),
    iss: `${API_URL}/auth/v1`,
    email: user.email ?? "",
    phone: user.phone ?? "",
    app_metadata: user.app_metadata ?? {},
    user_metadata: user.user_metadata ?? {},
    is_anonymous: user.is_anonymous ?? false,
    aal: "aal1",
    amr,
  })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(secret);
}

async function issueCompleteTokens(url, response) {
  if (!/\/(token|signup|verify)$/.test(url.pathname)) return response;
  if (response.status === 303) return await completeRedirect(response);
  // The answer to OPTIONS is empty.
  if (!response.ok || response.status === 204) return response;
  const body = await response.json();
  const session = body.session ?? body;
  const user = session.user ?? body.user;
  if (session.access_token && user) {
    const method = url.pathname.endsWith("/verify") ? "otp" : "password";
    session.access_token = await completed(session.access_token, user, method);
    if (shortened !== undefined) {
      session.expires_in = shortened;
      session.expires_at = Math.floor(Date.now() / 1000) + shortened;
    }
  }
  // A new answer, so that its Content-Length is that of the new body.
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(JSON.stringify(body), { status: response.status, headers });
}

// A followed link carries its tokens behind the #.
async function completeRedirect(response) {
  const [target, fragment] = (response.headers.get("location") ?? "").split("#");
  const parameters = new URLSearchParams(fragment);
  const token = parameters.get("access_token");
  if (!token) return response;
  const bearer = { headers: { authorization: `Bearer ${token}` } };
  const user = await (await app.fetch(new Request(`${API_URL}/auth/v1/user`, bearer))).json();
  parameters.set("access_token", await completed(token, user, "otp"));
  if (shortened !== undefined) {
    parameters.set("expires_in", shortened);
    parameters.set("expires_at", Math.floor(Date.now() / 1000) + shortened);
  }
  const headers = new Headers(response.headers);
  headers.set("location", `${target}#${parameters}`);
  return new Response(null, { status: response.status, headers });
}

// Of this process alone: the gateway forwards nothing but /auth/v1.
async function control(url, incoming) {
  if (incoming.headers.get("authorization") !== `Bearer ${CONTROL_KEY}`) {
    return new Response("unauthorized", { status: 401 });
  }
  if (url.pathname === "/mails") {
    const all = [...mailbox.messages.values()].flat();
    return Response.json(all.filter((mail) => mail.to === url.searchParams.get("to")));
  }
  if (url.pathname === "/hash") {
    // The cheapest cost: these passwords are made for tests and demos, often.
    return Response.json({ hash: await bcrypt.hash(await incoming.text(), 4) });
  }
  if (FAULTS && url.pathname.startsWith("/faults")) return await setFault(url, incoming);
  return new Response("not found", { status: 404 });
}

// DELETE /faults; POST /faults/tokens {"seconds"}: tokens issued from now on live that long.
async function setFault(url, incoming) {
  if (incoming.method === "DELETE") {
    shortened = undefined;
    return new Response(null, { status: 204 });
  }
  const { seconds } = (await incoming.json().catch(() => null)) ?? {};
  if (url.pathname !== "/faults/tokens" || !Number.isInteger(seconds) || seconds < 0 || seconds > 86400) {
    const words = "not understood: seconds has to be a whole number of seconds from 0 to 86,400";
    return Response.json({ error: words }, { status: 400 });
  }
  shortened = seconds;
  return new Response(null, { status: 204 });
}

async function answer(incoming) {
  const url = new URL(incoming.url);
  if (url.pathname === "/health") return Response.json({ ready: true });
  if (!url.pathname.startsWith("/auth/v1/")) return await control(url, incoming);
  const redirectTo = url.searchParams.get("redirect_to");
  return await request.run({ redirectTo }, async () =>
    issueCompleteTokens(url, await app.fetch(incoming)),
  );
}

await app.init();
const server = serve({ fetch: answer, hostname: "127.0.0.1", port: Number(AUTH_PORT) });
// Longer than the gateway keeps an idle connection: it must be the one that closes it.
server.keepAliveTimeout = 30_000;
process.on("SIGTERM", () => process.exit(0));
