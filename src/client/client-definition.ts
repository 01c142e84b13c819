import type { ClientAuthentication, ClientCertificate, Fetch, TokenLifetimeLimits } from '../oauth/index.ts'
import type { RenewalWindows } from '../source/index.ts'
import type { ClientDPoPOption } from './client-dpop.ts'

/** When tokens are renewed, and how long they are taken to live where the server leaves that open. All in milliseconds. */
export type LifetimeOptions = Partial<RenewalWindows & TokenLifetimeLimits & MemoryLimit>

/** How long a process goes by what it remembers. */
export interface MemoryLimit {
  /**
   * How long a token is used from memory before the shared `store` is asked whether it still counts: whether another process has deleted or replaced it.
   * Default 60 s. Without a store there is nobody to ask.
   */
  readonly memoryMs: number
}

/** One client at one authorization server. */
export interface ClientDefinition {
  /**
   * Issuer identifier. `issuer` alone: discovery (RFC 8414, OpenID Connect). `tokenEndpoint` alone: none. Both: no discovery; the
   * issuer is the name that client assertions are addressed to.
   */
  readonly issuer?: string | undefined
  /** URL of the token endpoint; https, or http to a loopback address. */
  readonly tokenEndpoint?: string | undefined
  /** `client_id`. */
  readonly clientId: string
  /** How the client proves who it is, unless an assertion is given with the request or by the central service. */
  readonly authentication: ClientAuthentication
  /** Scope values separated by spaces that a request gets when it names none. */
  readonly scope?: string | undefined
  /** Resources (RFC 8707) that a request gets when it names none. */
  readonly resource?: string | readonly string[] | undefined
  /** Further parameters of every token request; reserved names are refused. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /**
   * Binds the client's tokens to a key (RFC 9449), which every request with them proves anew. `true`: an ES256 key of this process. Or a key that
   * you keep, a function that gives it, or a `dpopKeyRing`.
   */
  readonly dpop?: ClientDPoPOption | undefined
  /** Back-channel requests of this client only: proxy, private CA. */
  readonly fetch?: Fetch | undefined
  /**
   * The client certificate of this client's connections, to its server and to APIs (RFC 8705): its tokens are bound to it. Stands in place
   * of `fetch`.
   */
  readonly certificate?: ClientCertificate | undefined
  /** When this client's tokens are renewed, instead of what the manager says. */
  readonly lifetime?: LifetimeOptions | undefined
  /**
   * Take a token whose scope is less than what was asked for, and show the difference only in its `scope`. Default: false, such
   * an answer is a TokenResponseError with code `insufficient_granted_scope`.
   */
  readonly acceptNarrowedScope?: boolean | undefined
}
