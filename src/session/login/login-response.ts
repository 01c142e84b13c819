/**
 * What the token endpoint answered at somebody's login (RFC 6749 section 5.1), in wire names, and who signed in. What a library made of that answer will do where it
 * has kept those names; `null` stands for what is left out.
 */
export interface LoginResponse {
  readonly access_token: string
  readonly token_type?: string | null | undefined
  /** Seconds. Without it and `expires_at` the token is taken to live for as long as the client's `assumedMs` says. */
  readonly expires_in?: number | string | null | undefined
  /** Seconds since the epoch, as some libraries keep it; looked at where there is no `expires_in`. */
  readonly expires_at?: number | string | null | undefined
  /** Milliseconds since the epoch at which the answer was received; default now. */
  readonly receivedAt?: number | null | undefined
  readonly refresh_token?: string | null | undefined
  readonly refresh_expires_in?: number | string | null | undefined
  readonly refresh_token_expires_in?: number | string | null | undefined
  readonly refresh_token_timeout?: number | string | null | undefined
  readonly authorization_expires_in?: number | string | null | undefined
  /** Of an answer that came straight from the server over TLS, or was verified. */
  readonly id_token?: string | null | undefined
  readonly scope?: string | null | undefined
  /** Who the user is, where no ID token says so. */
  readonly subject?: string | null | undefined
  /** Thumbprint of the key that the tokens are bound to (RFC 9449), where they are. */
  readonly jkt?: string | null | undefined
  /**
   * What the application wants to keep of the user's claims: a plain object that JSON can hold, of at most 16 KiB. Without it `transformClaims` is asked; a function,
   * as `openid-client` has one of this name, counts as left out.
   */
  readonly claims?: Readonly<Record<string, unknown>> | (() => unknown) | null | undefined
}

/** All that is looked at. */
const MEMBERS = [
  'access_token',
  'token_type',
  'expires_in',
  'expires_at',
  'receivedAt',
  'refresh_token',
  'refresh_token_timeout',
  'refresh_token_expires_in',
  'refresh_expires_in',
  'authorization_expires_in',
  'id_token',
  'scope',
  'subject',
  'jkt',
  'claims',
] as const

/** The members of a login, not looked at yet. */
export type LoginMembers = Readonly<Partial<Record<(typeof MEMBERS)[number], unknown>>>

/** Asks for each member once: what a getter says the second time may be something else. */
export function membersOf(login: object): LoginMembers {
  const members = MEMBERS.map((name) => [name, (login as LoginMembers)[name]] as const)
  return Object.fromEntries(members.filter(([, value]) => value !== undefined && value !== null))
}

/** Those that are numbers or texts: what else a server may say of lifetimes says nothing. */
export function plainMembers(members: LoginMembers): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => typeof value === 'number' || typeof value === 'string'),
  )
}
