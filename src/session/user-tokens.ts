import { type AuthorizedFetch, authorizedFetch } from '../fetch/index.ts'
import { createAuthorizer, type Destination, destinationRules, type RequestAuthorizer } from '../resource/index.ts'
import type { TokenRequest, TokenSource } from '../token/index.ts'
import { adopted } from './login/adopt.ts'
import type { LoginResponse } from './login/login-response.ts'
import { revocationRequest } from './request-customizer.ts'
import type { SessionEnd } from './session-end.ts'
import type { SessionTokens } from './session-tokens.ts'
import { signInBy } from './token-set/set-decisions.ts'
import type { TokenSet } from './token-set/token-set.ts'
import type { UserClient } from './user-client.ts'
import { UserSession } from './user-session.ts'
import { userSources } from './user-sources.ts'

/** The tokens of one user, for as long as one request or one job lasts, or for longer. */
export interface UserTokens {
  /** Gives tokens for one scope and resource; all are from one lineage of refresh tokens. */
  source(request?: TokenRequest): TokenSource
  /** That source, ready for a transport. */
  authorizer(destination: Destination, request?: TokenRequest): RequestAuthorizer
  /** `fetch` with the user's tokens: relative URLs resolve against `baseUrl`. */
  fetch(destination: Destination, request?: TokenRequest): AuthorizedFetch
  /**
   * Takes the tokens of a login, whoever made it, and keeps them in the session.
   *
   * @throws ConfigurationError with code `login_invalid` for what lacks a token, a subject or a lifetime that makes sense, for an ID token of another server or client,
   * and after `forSubject` for a login of somebody else; with `claims_late` where `transformClaims` gives nothing within the client's deadline. SessionError with reason `superseded` where another sign-in, or a logout at the server, has come first.
   */
  adopt(login: LoginResponse): Promise<void>
  /** What is known of the user now; nothing where there is no session. */
  read(): Promise<UserState | undefined>
  /**
   * Has the server take back the refresh token (RFC 7009): the session ends with its access tokens. `request` says how the client proves itself, where it is
   * not as always, and which `parameters` are sent.
   */
  revoke(request?: TokenRequest): Promise<void>
  /**
   * Ends the session here and in the whole fleet, and has the server take back its tokens as well as that can be done. `request` is as for
   * {@link UserTokens.revoke}.
   */
  signOut(request?: TokenRequest): Promise<void>
}

/** What is known of a user without a token in it. */
export interface UserState {
  readonly subject: string
  readonly issuer: string | undefined
  readonly claims: Readonly<Record<string, unknown>> | undefined
  /** When the user signed in, in milliseconds since the epoch. */
  readonly startedAt: number
  /** When the user has to sign in again at the latest, in milliseconds since the epoch, as far as the server has said; a refresh may move it. */
  readonly signInBy: number | undefined
  /** Whether it carries on when the access tokens have expired; why not, if it does not. */
  readonly endedBecause: SessionEnd | undefined
}

/** The tokens of the user whose session it is; of this very `subject`, where that is known beforehand. */
export function userTokens(client: UserClient, session: SessionTokens, subject?: string): UserTokens {
  const user = new UserSession(client, session)
  const { env, name } = client
  const { closing } = env
  const sources = userSources(client, user)
  const authorizer = (destination: Destination, request?: TokenRequest): RequestAuthorizer => {
    const rules = destinationRules(destination, `client "${name}"`)
    const sourceFor = sources.byTarget(request)
    const { clock } = env.oauth
    return createAuthorizer({ sourceFor, rules, prover: env.dpop?.prover, clock, telemetry: env.telemetry })
  }
  return {
    source: sources.of,
    authorizer,
    fetch(destination, request) {
      const { baseUrl } = destinationRules(destination, `client "${name}"`)
      return authorizedFetch(authorizer(destination, request), { baseUrl, certificate: client.definition.certificate })
    },
    adopt: (login) => closing.during(adopted(client, { login, subject }).then((set) => user.begin(set))),
    async read() {
      const set = await user.find()
      return set === undefined ? undefined : stateOf(set)
    },
    revoke: (request) => closing.during(revocationRequest(env, request).then((own) => user.revoke(own))),
    signOut: (request) => closing.during(revocationRequest(env, request).then((own) => user.signOut(own))),
  }
}

function stateOf(set: TokenSet): UserState {
  const { subject, issuer, claims, startedAt } = set
  const endedBecause = set.endedBecause as SessionEnd | undefined
  return { subject, issuer, claims, startedAt, signInBy: signInBy(set), endedBecause }
}
