import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A request as the server saw it. */
export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly form: URLSearchParams
  /** Counts from 1, over all requests of this server. */
  readonly n: number
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
export interface HostileServer {
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

export async function startHostileServer(answer: Handler = tokenJson()): Promise<HostileServer> {
  const requests: SeenRequest[] = []
  const sockets = new Set<Socket>()
  const events = new EventEmitter()
  const state = { answer }
  let server = listen()

  function listen(): Server {
    return createServer((incoming, response) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', () => {})
      incoming.on('end', async () => {
        const body = Buffer.concat(chunks).toString()
        const { method = '', url = '', headers, socket } = incoming
        const seen = { method, url, headers, body, form: new URLSearchParams(body), n: requests.length + 1 }
        requests.push(seen)
        events.emit('request', seen)
        const reply = await state.answer(seen)
        if (typeof reply === 'function') return void (await reply(response, socket))
        for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value as string)
        if (!response.hasHeader('content-type')) response.setHeader('content-type', 'application/json')
        response.writeHead(reply.status ?? 200).end(reply.body)
      })
    }).on('connection', (socket) => {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    })
  }

  async function open(port: number): Promise<number> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async function shut(): Promise<void> {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }

  const port = await open(0)
  const origin = `http://127.0.0.1:${port}`
  return {
    origin,
    tokenEndpoint: `${origin}/token`,
    requests,
    get answer() {
      return state.answer
    },
    set answer(next) {
      state.answer = next
    },
    async nextRequest() {
      const [seen] = await once(events, 'request')
      return seen as SeenRequest
    },
    get openSockets() {
      return sockets.size
    },
    close: shut,
    shut,
    async reopen() {
      server = listen()
      await open(port)
    },
  }
}
