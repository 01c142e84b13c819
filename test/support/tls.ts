import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type RequestOptions, request as requestOverTls, type ServerOptions } from 'node:https'
import { createServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { type CertificateAuthority, type CertificateFault, createCertificateAuthority } from './certificates.ts'
import { type Handler, type HostileServer, startHostileServer } from './hostile-server.ts'

/** What may be wrong with a server that speaks TLS. */
export type TlsFault = CertificateFault | 'unknown-authority' | 'tls-1.1'

/** A server behind TLS. */
export interface TlsServer extends HostileServer {
  /** PEM of the authority to trust. A server of an `unknown-authority` has its certificate from another. */
  readonly ca: string
}

let authorities: Promise<readonly [trusted: CertificateAuthority, unknown: CertificateAuthority]> | undefined

/** Starts an https server that is good but for one fault. */
export async function startTlsServer(fault?: TlsFault, answer?: Handler): Promise<TlsServer> {
  authorities ??= Promise.all([createCertificateAuthority('Trusted'), createCertificateAuthority('Unknown')])
  const [trusted, unknown] = await authorities
  const { ca } = trusted
  if (fault === 'unknown-authority') return start(await unknown.issue())
  if (fault !== 'tls-1.1') return start(await trusted.issue(fault))
  // OpenSSL 3 speaks TLS 1.1 at security level 0 only.
  const versions = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const
  return start({ ...(await trusted.issue()), ...versions })

  async function start(tls: ServerOptions): Promise<TlsServer> {
    return Object.assign(await startHostileServer(answer, { tls }), { ca })
  }
}

/** A server that takes connections and says nothing, so that a handshake never ends. */
export interface StalledServer extends AsyncDisposable {
  readonly origin: string
  readonly openSockets: number
  /** The next time that somebody connects. */
  nextConnection(): Promise<void>
  close(): Promise<void>
}

export async function startStalledServer(): Promise<StalledServer> {
  // Without reading, nobody would notice that the other side has gone.
  const server = createServer((socket) => void socket.resume())
  const { port, sockets, shut } = await listenOnLoopback(server)
  return {
    origin: `https://127.0.0.1:${port}`,
    get openSockets() {
      return sockets.size
    },
    async nextConnection() {
      await once(server, 'connection')
    },
    close: shut,
    [Symbol.asyncDispose]: shut,
  }
}

/** A `fetch` over `node:https` with TLS options of its own: a private authority, a client certificate. */
export function fetchWith(options: Pick<RequestOptions, 'ca' | 'cert' | 'key'>): typeof globalThis.fetch {
  return async (input, init) => {
    const { url, method, headers, signal, body } = new Request(input, init)
    const sent = body === null ? undefined : Buffer.from(await new Response(body).arrayBuffer())
    const request = requestOverTls(url, {
      ...options,
      method,
      headers: Object.fromEntries(headers),
      signal,
      agent: false,
    })
    request.end(sent)
    const [incoming] = (await once(request, 'response')) as [IncomingMessage]
    const { statusCode = 0, headersDistinct } = incoming
    const received = Object.entries(headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    )
    const bytes = await buffer(incoming)
    return new Response(bytes.length === 0 ? null : new Uint8Array(bytes), { status: statusCode, headers: received })
  }
}
