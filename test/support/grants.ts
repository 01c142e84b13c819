import type { ClientAuthentication, Clock } from 'evertoken'
import type { DPoPKeyRing } from 'evertoken/dpop'
import * as engine from 'oauth4webapi'
import { vi } from 'vitest'

// Refresh, code exchange and pushed requests have no door of their own yet; the seam that they will use is the one that all requests
// go through.
const oauth = await vi.importActual<typeof import('../../src/oauth/index.ts')>('../../src/oauth/index.ts')
const exchange = await vi.importActual<typeof import('../../src/oauth/authenticated-exchange.ts')>(
  '../../src/oauth/authenticated-exchange.ts',
)
const dpop = await vi.importActual<typeof import('../../src/dpop/index.ts')>('../../src/dpop/index.ts')
const { systemClock, createServerTime } =
  await vi.importActual<typeof import('../../src/util/index.ts')>('../../src/util/index.ts')
const { noTelemetry } =
  await vi.importActual<typeof import('../../src/telemetry/index.ts')>('../../src/telemetry/index.ts')

type OAuthClient = import('../../src/oauth/index.ts').OAuthClient
type TokenResponse = import('../../src/oauth/index.ts').TokenResponse

/** A request as it left, and how it was answered. */
export interface SentRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly form: URLSearchParams
  readonly status: number
}

/** A client of one server, with everything that it sent there by POST. */
export interface GrantClient extends OAuthClient {
  readonly sent: readonly SentRequest[]
}

interface GrantClientOptions {
  readonly issuer: string
  readonly clientId: string
  readonly ring: DPoPKeyRing
  readonly clock?: Clock
}

/** Makes a client whose tokens are bound to the keys of a ring. */
export function grantClient({ issuer, clientId, ring, clock = systemClock }: GrantClientOptions): GrantClient {
  const sent: SentRequest[] = []
  const channel = oauth.createBackChannel({ fetch: recordingFetch(sent), clock })
  return {
    clientName: 'web',
    clientId,
    server: oauth.discoveredServer(issuer, { channel, clock }),
    channel,
    clock,
    serverTime: createServerTime(),
    proofs: dpop.createProver(dpop.proofKeysOf(ring), dpop.createNonces({ clock, telemetry: noTelemetry })),
    telemetry: noTelemetry,
    limits: oauth.LIFETIME_LIMITS,
    acceptsNarrowedScope: true,
    sent,
  }
}

function recordingFetch(sent: SentRequest[]): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    if (init?.method === 'POST') {
      const headers = Object.fromEntries(new Headers(init.headers))
      sent.push({ url: String(input), headers, form: new URLSearchParams(String(init.body)), status: response.status })
    }
    return response
  }
}

/** A grant, and how the client proves itself. */
export interface Asked {
  readonly authentication: ClientAuthentication
  readonly jkt: string
  readonly signal?: AbortSignal
}

/** Asks for tokens with a grant (RFC 6749 sections 4.1.3 and 6). */
export function askFor(
  client: OAuthClient,
  { grantType, ...parameters }: Readonly<Record<string, string>> & { readonly grantType: string },
  { signal = new AbortController().signal, ...asked }: Asked,
): Promise<TokenResponse> {
  return oauth.requestToken(client, { grantType, parameters: new URLSearchParams(parameters), signal, ...asked })
}

/** Pushes an authorization request (RFC 9126), and gives its `request_uri`. */
export async function push(
  client: OAuthClient,
  parameters: Readonly<Record<string, string>>,
  { authentication, jkt, signal = new AbortController().signal }: Asked,
): Promise<string> {
  const metadata = await client.server.metadata()
  const url = new URL('/request', metadata.tokenEndpoint)
  const { answer } = await exchange.sendAuthenticated(client, {
    subject: 'client "web"',
    authentication,
    jkt,
    url,
    metadata,
    signal,
    acceptedStatus: 201,
    send: ({ authenticate, options }) => {
      const as = { ...metadata.wire, pushed_authorization_request_endpoint: url.href }
      return engine.pushedAuthorizationRequest(as, { client_id: client.clientId }, authenticate, parameters, options)
    },
  })
  return String(Object(JSON.parse(new TextDecoder().decode(answer.bytes))).request_uri)
}
