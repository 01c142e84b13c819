import { type AccessToken, ConfigurationError } from '../../token/index.ts'
import { frozenClaims } from '../login/kept-claims.ts'
import { tokenSetFault } from './token-set-fault.ts'

/** One access token of a user, and what it was asked for. */
export interface UserAccessToken {
  /** Canonical text of scope, resources and parameters that were asked for. */
  readonly shape: string
  readonly token: AccessToken
  /** From here on it is renewed, in milliseconds since the epoch; drawn once, so that all who have the set agree. */
  readonly renewAt: number
}

/** What one user has at one authorization server. Printing, inspecting or serialising one never shows a token. */
export interface TokenSet {
  /** Grows with every write; an older generation never replaces a newer one. */
  readonly generation: number
  /** Names the client that the tokens were given to, among all clients of all servers. */
  readonly client: string
  /** Who the user is at the server: `sub` (OpenID Connect Core section 2). */
  readonly subject: string
  /** Issuer identifier, where the server has one. */
  readonly issuer?: string | undefined
  readonly refreshToken?: string | undefined
  /** Milliseconds since the epoch; left out where the server does not say. */
  readonly refreshTokenExpiresAt?: number | undefined
  /** When the server wants the session to be over, in milliseconds since the epoch: `session_expiry` of the ID token (IPSIE OpenID Connect SL1 profile). */
  readonly sessionExpiresAt?: number | undefined
  /** Thumbprint of the key that the refresh token is bound to (RFC 9449 section 5). */
  readonly jkt?: string | undefined
  readonly idToken?: string | undefined
  /** What the user granted at the sign-in, which is the refresh token's scope (RFC 6749 section 6). */
  readonly scope?: string | undefined
  /** What the application made of the user's claims. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
  /** One for each scope and resource that was asked for; all from one lineage of refresh tokens. */
  readonly accessTokens: readonly UserAccessToken[]
  /** When the user signed in, in milliseconds since the epoch. */
  readonly startedAt: number
  /** The same by the server's clock: `iat` of the ID token that came with the sign-in, in milliseconds since the epoch. */
  readonly signedInAt?: number | undefined
  /** Until then somebody spends the refresh token, who found no lock to do it under. */
  readonly claimedUntil?: number | undefined
  /** Why the session does not carry on when its access tokens have expired. */
  readonly endedBecause?: string | undefined
}

/** Where Node, Bun and Deno look for a text to print. */
const inspect = Symbol.for('nodejs.util.inspect.custom')

const OPTIONAL = [
  'issuer',
  'refreshTokenExpiresAt',
  'sessionExpiresAt',
  'jkt',
  'scope',
  'claims',
  'signedInAt',
  'claimedUntil',
  'endedBecause',
] as const

/** Holds refresh token and ID token in private fields, out of reach of enumeration, cloning and printing. */
class RedactedTokenSet implements TokenSet {
  readonly generation: number
  readonly client: string
  readonly subject: string
  declare readonly issuer?: string | undefined
  declare readonly refreshTokenExpiresAt?: number | undefined
  declare readonly sessionExpiresAt?: number | undefined
  declare readonly jkt?: string | undefined
  declare readonly scope?: string | undefined
  declare readonly claims?: Readonly<Record<string, unknown>> | undefined
  declare readonly signedInAt?: number | undefined
  declare readonly claimedUntil?: number | undefined
  declare readonly endedBecause?: string | undefined
  readonly accessTokens: readonly UserAccessToken[]
  readonly startedAt: number
  readonly #refreshToken: string | undefined
  readonly #idToken: string | undefined

  constructor({ refreshToken, idToken, ...open }: TokenSet) {
    this.#refreshToken = refreshToken
    this.#idToken = idToken
    this.generation = open.generation
    this.client = open.client
    this.subject = open.subject
    this.startedAt = open.startedAt
    this.accessTokens = Object.freeze([...open.accessTokens])
    const claims = open.claims === undefined ? undefined : frozenClaims(open.claims, refusal)
    const members = { ...open, claims }
    for (const name of OPTIONAL) {
      if (members[name] !== undefined) Object.defineProperty(this, name, { value: members[name], enumerable: true })
    }
    Object.freeze(this)
  }

  get refreshToken(): string | undefined {
    return this.#refreshToken
  }

  get idToken(): string | undefined {
    return this.#idToken
  }

  toJSON(): Omit<TokenSet, 'refreshToken' | 'idToken'> {
    return { ...this }
  }

  toString(): string {
    return `[TokenSet ${this.generation}]`
  }

  [inspect](): string {
    const carriesOn = this.#refreshToken === undefined ? 'without' : 'with'
    return `TokenSet { generation ${this.generation}, ${this.accessTokens.length} access tokens, ${carriesOn} a refresh token }`
  }
}

function refusal(expected: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError(`createTokenSet: expected ${expected}`, { code: 'token_set_invalid', cause })
}

/**
 * Makes a frozen set that hides what it holds from everything but its properties.
 *
 * @throws ConfigurationError with code `token_set_invalid` for what is none, such as a set that was made into JSON and back: that has no tokens in it. Use
 * {@link tokenSetText} and {@link tokenSetFrom}.
 */
export function createTokenSet(set: TokenSet): TokenSet {
  if (set instanceof RedactedTokenSet) return set
  const fault = tokenSetFault(set)
  if (fault !== undefined) throw refusal(fault)
  return new RedactedTokenSet(set)
}

/** The same set with some members changed. */
export function changedSet(set: TokenSet, changes: Partial<TokenSet>): TokenSet {
  const { refreshToken, idToken } = set
  return createTokenSet({ ...(set as Omit<TokenSet, 'refreshToken' | 'idToken'>), refreshToken, idToken, ...changes })
}
