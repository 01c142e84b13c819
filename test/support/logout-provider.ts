import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { AuthorizationServer, AuthorizationServerOptions } from '../../demo/authorization-server.ts'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { authorizationRequest, browse, type Cookies, grantEverything, REDIRECT_URI, signIn } from './web-provider.ts'

/** Its client authenticates with `client_secret_basic`. */
export const LOGOUT_CLIENT = { clientId: 'web', secret: 'a-long-enough-secret' }

/** A place on the network for a handler that is made later. */
export interface LogoutEndpoint extends AsyncDisposable {
  readonly url: string
  receive: (request: Request) => Promise<Response>
  /** What came and what was answered. */
  readonly answers: { readonly token: string; readonly status: number }[]
}

/** Hosts a handler of Web requests on Node's server. */
export async function startLogoutEndpoint(): Promise<LogoutEndpoint> {
  const answers: { readonly token: string; readonly status: number }[] = []
  const server = createServer(async (incoming, outgoing) => {
    const { method = 'GET', headers } = incoming
    const body = await buffer(incoming)
    const type = String(headers['content-type'])
    const response = await endpoint.receive(
      new Request(endpoint.url, { method, headers: { 'content-type': type }, body }),
    )
    const token = new URLSearchParams(body.toString()).get('logout_token') ?? ''
    answers.push({ token, status: response.status })
    outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text())
  })
  const { port, shut } = await listenOnLoopback(server)
  const endpoint: LogoutEndpoint = {
    url: `http://127.0.0.1:${port}/back-channel-logout`,
    receive: async () => new Response(null, { status: 500 }),
    answers,
    [Symbol.asyncDispose]: shut,
  }
  return endpoint
}

/** Starts a provider that tells its client of logouts, with `sid` or with `sub` only. */
export function startLogoutProvider(
  startProvider: (options: AuthorizationServerOptions) => Promise<AuthorizationServer>,
  { url, hasSid }: { readonly url: string; readonly hasSid: boolean },
): Promise<AuthorizationServer> {
  const ttl = {
    AccessToken: 600,
    AuthorizationCode: 60,
    Grant: 600,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 600,
    Session: 600,
  }
  const settings = {
    scopes: ['openid', 'offline_access'],
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    loadExistingGrant: grantEverything,
    issueRefreshToken: () => true,
    // Its store finds no session by what a code remembers of it.
    expiresWithSession: () => false,
    ttl,
    // The provider keeps its own requests from addresses of this machine.
    fetch: (to: string, { dispatcher: _, ...init }: RequestInit & { dispatcher?: unknown }) => fetch(to, init),
    features: { resourceIndicators: { enabled: false }, backchannelLogout: { enabled: true } },
  }
  return startProvider({
    clients: [
      {
        client_id: LOGOUT_CLIENT.clientId,
        client_secret: LOGOUT_CLIENT.secret,
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: [REDIRECT_URI],
        backchannel_logout_uri: url,
        backchannel_logout_session_required: hasSid,
      },
    ],
    resources: {},
    settings: settings as never,
  })
}

interface LoginAnswer {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token: string
}

/** Signs alice in, and gives what the token endpoint answers. */
export async function logIn(server: AuthorizationServer, cookies: Cookies, scope: string): Promise<LoginAnswer> {
  const { parameters, verifier } = authorizationRequest({ scope })
  const { clientId, secret } = LOGOUT_CLIENT
  const code = await signIn(server, { ...parameters, client_id: clientId }, cookies)
  const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier: verifier }
  const authorization = `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`
  const response = await fetch(`${server.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers: { authorization },
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`expected tokens, got ${text}`)
  return JSON.parse(text)
}

/** Logs the user of a browser out at the provider, as its own page does; resolves when its clients have been told. */
export async function logOut({ issuer }: AuthorizationServer, cookies: Cookies): Promise<void> {
  const page = await (await browse(cookies, `${issuer}/session/end`)).text()
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)?.[1] ?? ''
  const response = await browse(cookies, `${issuer}/session/end/confirm`, {
    method: 'POST',
    body: new URLSearchParams({ xsrf, logout: 'yes' }),
  })
  if (response.status >= 400) throw new Error(`expected to be logged out, got status ${response.status}`)
}
