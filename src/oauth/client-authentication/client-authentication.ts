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
  /** Where the server hands out challenges for attestations, where it does. */
  readonly challengeEndpoint?: URL | undefined
}

/** RFC 6749 section 2.3. Applied afresh to every attempt, retries included. */
export interface ClientAuthentication {
  /** Name in the IANA registry "OAuth Token Endpoint Authentication Methods". */
  readonly method: string
  /** Whether it needs an issuer to address its assertions to. */
  readonly needsIssuer?: boolean | undefined
  /** Whether it is the connection that proves the client, so that the client needs a certificate (RFC 8705 section 2). */
  readonly needsCertificate?: boolean | undefined
  /**
   * Adds what proves the client's identity to the draft. What it returns, if anything, is told the answer and may know how to
   * try again.
   */
  apply(
    draft: TokenEndpointDraft,
    client: ClientIdentity,
    options?: ClientAuthenticationOptions,
    // biome-ignore lint/suspicious/noConfusingVoidType: most ways to authenticate have nothing to learn from an answer
  ): Awaitable<AuthenticationAttempt | void>
}

/** How one attempt is authenticated. */
export interface ClientAuthenticationOptions {
  readonly signal?: AbortSignal | undefined
  /**
   * Where the dates of assertions come from. Its `wallTime` follows the server's clock where that is known to differ.
   * Default: the system's clock.
   */
  readonly clock?: Clock | undefined
  /** Posts nothing to an endpoint of the server, over the client's own back channel, and gives the JSON that it answers. */
  readonly ask?: ((url: URL) => Promise<Readonly<Record<string, unknown>>>) | undefined
}

/** One attempt that has been authenticated and sent. */
export interface AuthenticationAttempt {
  /**
   * Takes note of the answer, without I/O. Gives the authentication to try once more with when the server refused the client and
   * another attempt has a chance. An error that it throws after the client was accepted is ignored.
   */
  next(answer: AuthenticationAnswer): ClientAuthentication | undefined
}

/** What a client authentication is told of the server's answer. */
export interface AuthenticationAnswer {
  readonly status: number
  header(name: string): string | undefined
  /** `error` of a refusal (RFC 6749 section 5.2); `http_<status>` where there is none. */
  readonly error?: string | undefined
  readonly errorDescription?: string | undefined
  /** Whether the next attempt is dated by another time: the server's `Date` differs from what dated this one. */
  readonly isRedated?: boolean | undefined
  /** When the token that was granted expires, in milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
}
