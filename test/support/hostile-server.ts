import { EventEmitter, once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https'
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { listenOnLoopback } from '../../demo/loopback.ts'

/** A request as the server saw it. */
export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** The body before it was read as text. */
  readonly bytes: Uint8Array
  readonly form: URLSearchParams
  /** Counts from 1, over all requests of this server. */
  readonly n: number
  /** Counts connections from 1; equal numbers came over the same one. */
  readonly connection: number
}

/** What the server does about a request: a plain answer, or anything at all. */
export type Answer =
  | {
      readonly status?: number
      readonly headers?: Readonly<Record<string, string | readonly string[]>>
      readonly body?: string | Uint8Array
    }
  | ((response: ServerResponse, socket: Socket) => void | Promise<void>)

/** Answers one request. */
export type Handler = (request: SeenRequest) => Answer | Promise<Answer>

/** A server that does as it is told, and remembers. */
export interface HostileServer extends AsyncDisposable {
  readonly origin: string
  readonly tokenEndpoint: string
  readonly requests: readonly SeenRequest[]
  /** What it does from now on. */
  answer: Handler
  /** The next request that comes in. */
  nextRequest(): Promise<SeenRequest>
  readonly openSockets: number
  close(): Promise<void>
  /** Stops listening and cuts all connections; `reopen` takes the same port again. */
  shut(): Promise<void>
  reopen(): Promise<void>
}

/** A token answer; every request gets a token of its own unless it is named. */
export function tokenJson(members: Readonly<Record<string, unknown>> = {}): Handler {
  return ({ n }) => ({
    body: JSON.stringify({ access_token: `token-${n}`, token_type: 'Bearer', expires_in: 3600, ...members }),
  })
}

/** An OAuth error answer (RFC 6749 section 5.2). */
export function errorJson(status: number, error: string, members: Readonly<Record<string, unknown>> = {}): Answer {
  return { status, body: JSON.stringify({ error, ...members }) }
}

/** Never answers. */
export const hang: Answer = () => {}

/** Cuts the connection before anything is said. */
export const reset: Answer = (_response, socket) => {
  socket.resetAndDestroy()
}

/** Starts one on a loopback port of its own; with `tls` it speaks https only. */
export async function startHostileServer(
  answer: Handler = tokenJson(),
  { tls }: { readonly tls?: TlsOptions } = {},
): Promise<HostileServer> {
  const log = createLog()
  const state = { answer }
  const take: RequestListener = async (incoming, response) => {
    const seen = await log.add(incoming)
    if (seen !== undefined) await reply(response, { to: incoming.socket, answer: await state.answer(seen) })
  }
  const server = tls === undefined ? createServer(take) : createTlsServer(tls, take)
  const { port, sockets, shut, reopen } = await listenOnLoopback(server)
  const origin = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  return {
    origin,
    tokenEndpoint: `${origin}/token`,
    requests: log.requests,
    get answer() {
      return state.answer
    },
    set answer(next) {
      state.answer = next
    },
    nextRequest: log.next,
    get openSockets() {
      return sockets.size
    },
    close: shut,
    [Symbol.asyncDispose]: shut,
    shut,
    reopen,
  }
}

async function reply(
  response: ServerResponse,
  { to, answer }: { readonly to: Socket; readonly answer: Answer },
): Promise<void> {
  if (typeof answer === 'function') return await answer(response, to)
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value as string)
  if (!response.hasHeader('content-type')) response.setHeader('content-type', 'application/json')
  response.writeHead(answer.status ?? 200).end(answer.body)
}

interface Log {
  readonly requests: readonly SeenRequest[]
  /** Reads a request to its end; `undefined` when that does not come. */
  add(incoming: IncomingMessage): Promise<SeenRequest | undefined>
  next(): Promise<SeenRequest>
}

function createLog(): Log {
  const requests: SeenRequest[] = []
  const events = new EventEmitter()
  const connections = new WeakMap<Socket, number>()
  let connectionCount = 0

  function numberOf(socket: Socket): number {
    const number = connections.get(socket) ?? ++connectionCount
    connections.set(socket, number)
    return number
  }

  return {
    requests,
    async add(incoming) {
      const { method = '', url = '', headers, socket } = incoming
      const connection = numberOf(socket)
      const bytes = await buffer(incoming).catch(() => undefined)
      if (bytes === undefined) return undefined
      const body = bytes.toString()
      const form = new URLSearchParams(body)
      const seen = { method, url, headers, body, bytes, form, n: requests.length + 1, connection }
      requests.push(seen)
      events.emit('request', seen)
      return seen
    },
    async next() {
      const [seen] = await once(events, 'request')
      return seen as SeenRequest
    },
  }
}
