/** What a caller may vary for one named client. */
export interface TokenRequest {
  /** Scope values separated by spaces (RFC 6749 section 3.3), instead of the client's own. */
  readonly scope?: string | undefined
  /** Absolute URIs without fragment (RFC 8707 section 2), instead of the client's own. */
  readonly resource?: string | readonly string[] | undefined
  /** Further parameters of the token request, beside and before the client's own; reserved names are refused. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** Sent as it is, instead of any other client authentication; never regenerated. */
  readonly clientAssertion?: ClientAssertion | undefined
  /** Reaches the assertion service and the request customiser, never the wire, never the cache key. */
  readonly context?: Readonly<Record<string, unknown>> | undefined
  /** Further text for the cache key: a tenant, the identity behind an assertion. */
  readonly partition?: string | undefined
}

/** A token that proves who the client is (RFC 7521 section 4.2). */
export interface ClientAssertion {
  /** `client_assertion_type`, for example `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  readonly type: string
  /** `client_assertion`. */
  readonly value: string
}
