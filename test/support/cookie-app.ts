import { createServer, type IncomingMessage } from 'node:http'
import { type ClientDefinition, type Clock, isEvertokenError } from 'evertoken'
import {
  type CarriedSession,
  type CookieSessions,
  cookieSessions,
  createUserTokenManager,
  type LoginResponse,
  type UserTokenManagerOptions,
} from 'evertoken/session'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { KEY } from './carried-sessions.ts'
import { type CookieJar, createCookieJar } from './cookie-jar.ts'

/** One process of a web application whose sessions are in cookies. */
export interface CookieApp extends AsyncDisposable {
  readonly url: string
  readonly sessions: CookieSessions
}

// No interface: a record's members are looked for in a type that has an index.
type Clients = { readonly web: ClientDefinition }

/** What a process is made of; those of one fleet share store and lock. */
export interface CookieAppOptions extends UserTokenManagerOptions<Clients> {
  readonly clock: Clock
  /** What a login of this user brings. */
  readonly login: (user: string) => LoginResponse | Promise<LoginResponse>
}

/**
 * Starts one on a port of its own. `/login?user=alice` signs in, `/logout` signs out, and `/call?resource=…` answers with the access token that it would call an
 * API with.
 */
export async function startCookieApp({ login, ...options }: CookieAppOptions): Promise<CookieApp> {
  const { clock, telemetry } = options
  const sessions = cookieSessions({ keys: [{ id: '2026-01', key: KEY }], clock, telemetry })
  const tokens = createUserTokenManager<Clients>(options)
  const act = async (session: CarriedSession, { pathname, searchParams }: URL): Promise<string> => {
    const user = tokens.forSession('web', session)
    if (pathname === '/login') await user.adopt(await login(searchParams.get('user') ?? ''))
    if (pathname === '/logout') await user.signOut()
    if (pathname !== '/call') return 'done'
    const resource = searchParams.get('resource') ?? undefined
    return (await user.source({ resource }).getToken()).accessToken
  }
  const server = createServer(async (request: IncomingMessage, response) => {
    const session = await sessions.fromRequest(request.headers.cookie)
    try {
      response.end(await settledBody(session, act(session, new URL(request.url ?? '', 'http://app.example'))))
    } catch (error) {
      response.statusCode = isEvertokenError(error) && error.name === 'SessionError' ? 401 : 500
      response.end(isEvertokenError(error) ? error.code : String(error))
    }

    async function settledBody(carried: CarriedSession, body: Promise<string>): Promise<string> {
      try {
        return await body
      } finally {
        for (const [name, value] of carried.responseHeaders) response.appendHeader(name, value)
      }
    }
  })
  const { port, shut } = await listenOnLoopback(server)
  return {
    url: `http://127.0.0.1:${port}`,
    sessions,
    async [Symbol.asyncDispose]() {
      await shut()
      await tokens.close()
    },
  }
}

/** Where an application is. */
export type Place = Pick<CookieApp, 'url'>

/** What came back to a browser. */
export interface Page {
  readonly status: number
  readonly body: string
  /** What the request brought. */
  readonly sent: string
  readonly setCookies: readonly string[]
  readonly headers: Headers
}

/** A browser: all its tabs share one jar. */
export interface Browser {
  readonly jar: CookieJar
  /** The jar takes what the response brings as soon as it is there. */
  open(app: Place, path: string): Promise<Page>
  /** The same with a jar that gets nothing of it: the response is late. */
  openLate(app: Place, path: string): Promise<Page>
}

/** Starts with an empty jar, or with a copy of another one. */
export function createBrowser(from?: CookieJar): Browser {
  const jar = createCookieJar()
  for (const [name, value] of from?.cookies ?? []) jar.cookies.set(name, value)
  const openLate = async (app: Place, path: string): Promise<Page> => {
    const sent = jar.header
    const response = await fetch(`${app.url}${path}`, { headers: sent === '' ? {} : { cookie: sent } })
    const { status, headers } = response
    return { status, body: await response.text(), sent, setCookies: headers.getSetCookie(), headers }
  }
  return {
    jar,
    openLate,
    async open(app, path) {
      const page = await openLate(app, path)
      jar.take(page.setCookies)
      return page
    },
  }
}
