import type { SecureContext } from 'node:tls'
import type { Agent } from 'undici'
import { ConfigurationError } from '../token/index.ts'
import { parseUrl } from '../util/index.ts'

/** Connections that present one certificate; nobody else's requests leave on them. */
export interface Connections {
  send(input: Parameters<Fetch>[0], init?: RequestInit): Promise<Response>
  /** Lets requests under way finish, then closes the connections. */
  retire(): Promise<void>
  /** Cuts the connections. */
  destroy(): Promise<void>
}

type Fetch = typeof globalThis.fetch

/** Makes connections when they are first needed, and loads undici then. */
export function createConnections(secureContext: SecureContext): Connections {
  let agent: Agent | undefined
  let isDestroyed = false
  let running = 0
  let idle = (): void => {}
  return {
    async send(input, init) {
      running++
      try {
        const { url, init: sent } = await requestFor(input, init)
        const undici = await loadUndici()
        if (isDestroyed) throw closed()
        agent ??= new undici.Agent({ connect: { secureContext } })
        // The types of undici are a version of their own; its fetch takes and gives what the global one does.
        const send = undici.fetch as unknown as (url: string, init: object) => Promise<Response>
        // Nothing is followed: the next hop may be another origin, or without TLS.
        const redirect = sent.redirect === 'error' ? 'error' : 'manual'
        return await send(url, { ...sent, redirect, dispatcher: agent })
      } finally {
        if (--running === 0) idle()
      }
    },
    async retire() {
      // A fetch reaches its agent some turns after it was called: an agent that is closed before refuses it. Bodies that are still being read are the agent's own affair.
      if (running > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve
        })
      }
      await agent?.close()
    },
    async destroy() {
      isDestroyed = true
      await agent?.destroy(closed())
    },
  }
}

/** What is thrown by a certificate that has been closed. */
export function closed(): ConfigurationError {
  return new ConfigurationError('clientCertificate: expected an open one, got a closed one', { code: 'closed' })
}

async function loadUndici(): Promise<typeof import('undici')> {
  try {
    return await import('undici')
  } catch (cause) {
    const { code } = Object(cause) as { readonly code?: unknown }
    const came = code === 'ERR_MODULE_NOT_FOUND' ? 'none' : 'one that cannot be loaded'
    throw new ConfigurationError(`clientCertificate: expected the package undici, got ${came}`, {
      code: 'peer_missing',
      cause,
    })
  }
}

interface AdaptedRequest {
  readonly url: string
  readonly init: RequestInit
}

/**
 * The same request in classes that undici knows: `Request` and `FormData` of the global scope belong to the copy of undici inside
 * Node, and any other copy takes them for plain objects.
 */
async function requestFor(input: Parameters<Fetch>[0], init: RequestInit = {}): Promise<AdaptedRequest> {
  if (input instanceof Request) {
    const { url, method, headers, body, signal, redirect, integrity, keepalive } = new Request(input, init)
    const streamed = body === null ? {} : { body, duplex: 'half' as const }
    return { url: secure(url), init: { method, headers, signal, redirect, integrity, keepalive, ...streamed } }
  }
  const url = secure(String(input))
  const { body, headers } = init
  if (!(body instanceof FormData)) return { url, init }
  const encoded = new Response(body)
  const sent = new Headers(headers)
  sent.set('content-type', encoded.headers.get('content-type') ?? '')
  return { url, init: { ...init, headers: sent, body: await encoded.arrayBuffer() } }
}

/** A certificate is presented in the TLS handshake, so a request without TLS would go without it. */
function secure(url: string): string {
  const protocol = parseUrl(url)?.protocol
  if (protocol === 'https:') return url
  throw new ConfigurationError(`clientCertificate: expected an https URL, got ${protocol ?? 'no absolute URL'}`, {
    code: 'url_invalid',
  })
}
