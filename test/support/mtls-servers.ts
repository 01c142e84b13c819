import { createHash, X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { listenOnLoopback } from '../../demo/loopback.ts'
import type { CertificateAuthority } from './certificates.ts'
import { type Handler, type HostileServer, startHostileServer } from './hostile-server.ts'

/** `x5t#S256` of a certificate in PEM, or of its DER (RFC 8705 section 3.1). */
export function thumbprintOf(certificate: string | Uint8Array): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url')
}

/** The certificate that the other end of a connection has presented. */
export function peerOf(socket: Socket): X509Certificate | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
}

/** Asks for client certificates of an authority, and leaves it to the application what to make of those that are not. */
export async function mtlsOptions(authority: CertificateAuthority): Promise<ServerOptions> {
  return { ...(await authority.issue()), ca: authority.ca, requestCert: true, rejectUnauthorized: false }
}

/** Tells which certificate a request came with. */
export interface EchoedRequest {
  readonly path: string
  /** Of the connection's certificate. */
  readonly thumbprint: string | null
  readonly method: string
  readonly contentType: string | null
  readonly body: string
}

const echo: Handler = (request) => (response, socket) => {
  const { url: path, method, headers, body } = request
  const peer = peerOf(socket)
  const thumbprint = peer === undefined ? null : thumbprintOf(peer.raw)
  const echoed: EchoedRequest = { path, thumbprint, method, contentType: headers['content-type'] ?? null, body }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(echoed))
}

/** A server that takes client certificates and does as it is told; by itself it tells what it has seen. */
export async function startMtlsServer(
  authority: CertificateAuthority,
  { answer = echo, tls }: { readonly answer?: Handler; readonly tls?: ServerOptions } = {},
): Promise<HostileServer> {
  return startHostileServer(answer, { tls: { ...(await mtlsOptions(authority)), ...tls } })
}

/** An API whose tokens are bound to certificates. */
export interface MtlsResourceServer extends AsyncDisposable {
  readonly origin: string
  close(): Promise<void>
}

/** Starts an API that takes a token over a connection with the certificate in its `cnf` and over no other (RFC 8705 section 3). */
export async function startMtlsResourceServer(
  authority: CertificateAuthority,
  { issuer, jwks }: { readonly issuer: string; readonly jwks: JSONWebKeySet },
): Promise<MtlsResourceServer> {
  const keys = createLocalJWKSet(jwks)
  const server = createServer(await mtlsOptions(authority), async (incoming, response) => {
    const refusal = await refusalOf(incoming)
    if (refusal !== undefined) {
      response.statusCode = 401
      response.setHeader('www-authenticate', `Bearer error="invalid_token", error_description="${refusal}"`)
    }
    response.end(JSON.stringify({ refusal: refusal ?? null }))
  })

  async function refusalOf({ headers, socket }: IncomingMessage): Promise<string | undefined> {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
    const verified = await jwtVerify(token, keys, { issuer, typ: 'at+jwt' }).catch(() => undefined)
    if (verified === undefined) return 'no valid token'
    const bound = Object(verified.payload.cnf)['x5t#S256'] as unknown
    const peer = peerOf(socket)
    if (peer === undefined) return 'no certificate'
    return bound === thumbprintOf(peer.raw) ? undefined : 'the token is bound to another certificate'
  }

  const { port, shut } = await listenOnLoopback(server)
  return { origin: `https://127.0.0.1:${port}`, close: shut, [Symbol.asyncDispose]: shut }
}
