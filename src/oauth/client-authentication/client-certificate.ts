/** A client certificate with its private key, and the connections that are made with it (RFC 8705 section 2). */
export interface ClientCertificate {
  /** SHA-256 of the certificate in DER, base64url: `x5t#S256` (RFC 8705 section 3.1). Changes when the certificate is replaced. */
  readonly thumbprint: string
  /** End of validity, milliseconds since the epoch. */
  readonly expiresAt: number
  /** `fetch` over connections that present this certificate and no other. */
  readonly fetch: typeof globalThis.fetch
  /** Looks whether the certificate was replaced. Called before every token request. */
  refresh?(): Promise<void>
}
