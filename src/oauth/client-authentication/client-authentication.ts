import type { Awaitable, Clock } from '../../util/index.ts'

/** A request to the authorization server before it is authenticated. */
export interface TokenEndpointDraft {
  readonly url: URL
  readonly body: URLSearchParams
  readonly headers: Headers
}

/** Who the client is, and to whom it authenticates. */
export interface ClientIdentity {
  /** The name under which the application configured the client. */
  readonly clientName: string
  readonly clientId: string
  /** Issuer identifier of the authorization server (RFC 8414 section 2), where one is configured. */
  readonly issuer?: string | undefined
  readonly tokenEndpoint: URL
  /** JWS algorithms that the server takes in assertions, where it says so (RFC 8414 section 2). */
  readonly assertionAlgs?: readonly string[] | undefined
}

/** RFC 6749 section 2.3. Applied afresh to every attempt, retries included. */
export interface ClientAuthentication {
  /** Name in the IANA registry "OAuth Token Endpoint Authentication Methods". */
  readonly method: string
  /** Whether it needs an issuer to address its assertions to. */
  readonly needsIssuer?: boolean | undefined
  /** Adds what proves the client's identity to the draft. */
  apply(draft: TokenEndpointDraft, client: ClientIdentity, options?: ClientAuthenticationOptions): Awaitable<void>
}

/** How one attempt is authenticated. */
export interface ClientAuthenticationOptions {
  readonly signal?: AbortSignal | undefined
  /** Where the dates of assertions come from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}
