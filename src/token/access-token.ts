import { ConfigurationError } from './errors.ts'

/**
 * What RFC 6749 section 5.1 returns, with `expires_in` made absolute.
 * Printing, inspecting or serialising one never shows the token itself.
 */
export interface AccessToken {
  readonly accessToken: string
  /** How the token is sent: RFC 6750 section 2.1 or RFC 9449 section 7.1. */
  readonly tokenType: TokenType
  /**
   * Milliseconds since the epoch. 0 when the server declared a lifetime of zero or none that makes sense: such a token is
   * good for one use at once and is never cached.
   */
  readonly expiresAt: number
  /** The granted scope, as the server named it or as it was asked for (RFC 6749 section 3.3). */
  readonly scope?: string | undefined
  /** RFC 7638 thumbprint of the key that the token is bound to. */
  readonly jkt?: string | undefined
  /** `x5t#S256` of the client certificate whose connections the token is used on (RFC 8705 section 3.1). */
  readonly certificateThumbprint?: string | undefined
}

/** The token types that a request can be made with. */
export type TokenType = 'Bearer' | 'DPoP'

/** Where Node, Bun and Deno look for a text to print. */
const inspect = Symbol.for('nodejs.util.inspect.custom')

/** Holds the token itself in a private field, out of reach of enumeration, cloning and printing. */
class RedactedAccessToken implements AccessToken {
  readonly #accessToken: string
  readonly tokenType: TokenType
  readonly expiresAt: number
  readonly scope: string | undefined
  declare readonly jkt?: string | undefined
  declare readonly certificateThumbprint?: string | undefined

  constructor({ accessToken, tokenType, expiresAt, scope, jkt, certificateThumbprint }: AccessToken) {
    this.#accessToken = accessToken
    this.tokenType = tokenType
    this.expiresAt = expiresAt
    this.scope = scope
    if (jkt !== undefined) this.jkt = jkt
    if (certificateThumbprint !== undefined) this.certificateThumbprint = certificateThumbprint
    Object.freeze(this)
  }

  /** Whether an object was made here, and so was looked at when it was made. */
  static isChecked(token: AccessToken): boolean {
    return #accessToken in token
  }

  get accessToken(): string {
    return this.#accessToken
  }

  toJSON(): Omit<AccessToken, 'accessToken'> {
    return { ...this }
  }

  toString(): string {
    return `[AccessToken ${this.tokenType}]`
  }

  [inspect](): string {
    const scope = this.scope === undefined ? '' : `, scope ${JSON.stringify(this.scope)}`
    const at = new Date(this.expiresAt)
    const expires = Number.isNaN(at.getTime()) ? 'does not expire' : `expires ${at.toISOString()}`
    const expiry = this.expiresAt === 0 ? 'for one use' : expires
    return `AccessToken { ${this.tokenType}, ${expiry}${scope} }`
  }
}

/** Printable ASCII without space: what can stand in a header (RFC 6750 section 2.1, RFC 6749 appendix A.12). */
const TOKEN = /^[\x21-\x7e]+$/
/** Longer tokens fit into no header. */
export const MAX_TOKEN_LENGTH: number = 64 * 1024

/** Whether a value can be sent as an access token. */
export function isTokenText(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value) && value.length <= MAX_TOKEN_LENGTH
}

/**
 * Makes a frozen access token that hides its value from everything but its `accessToken` property.
 *
 * @throws ConfigurationError with code `token_invalid` for a text that no header can carry.
 */
export function createAccessToken(token: AccessToken): AccessToken {
  if (isTokenText(token.accessToken)) return new RedactedAccessToken(token)
  throw new ConfigurationError(
    `expected an access token of 1 to ${MAX_TOKEN_LENGTH} printable characters, got something else`,
    { code: 'token_invalid' },
  )
}

/** Whether a token can stand in a header; those that {@link createAccessToken} made can, and are not looked at again. */
export function isHeaderReady(token: AccessToken): boolean {
  return RedactedAccessToken.isChecked(token) || isTokenText(token.accessToken)
}

/** Whether two tokens are the same one, whoever made the objects that carry them. */
export function isSameToken(a: AccessToken, b: AccessToken): boolean {
  return a.accessToken === b.accessToken && a.tokenType === b.tokenType
}
