import {
  authenticationFor,
  type ClientAssertionService,
  type ClientDefinitions,
  createClientOpener,
  type LifetimeOptions,
} from '../client/index.ts'
import type { NonceStore } from '../dpop/index.ts'
import type { Fetch } from '../oauth/index.ts'
import { RENEWAL_WINDOWS } from '../source/index.ts'
import { localLock, observedLock, type TokenStore, type WithLock } from '../store/index.ts'
import { harmless, noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { ConfigurationError, type TokenRequest } from '../token/index.ts'
import {
  type Clock,
  createDetachedRunner,
  describe,
  type RunDetached,
  secureRandom,
  systemClock,
} from '../util/index.ts'
import { assertSession, checkUserManagerOptions } from './check.ts'
import { type Closing, createClosing } from './closing.ts'
import type { ClaimsTransform } from './login/claims.ts'
import { createLogoutMemory } from './logout/logout-memory.ts'
import { keepManaged } from './managed-clients.ts'
import { createSharedMemory } from './refresh/shared-memory.ts'
import { customizedBy, type UserRequestCustomizer } from './request-customizer.ts'
import type { SessionTokens } from './session-tokens.ts'
import type { SubjectSessions } from './subject-sessions.ts'
import { UserClient } from './user-client.ts'
import { type UserTokens, userTokens } from './user-tokens.ts'

/** What a user token manager is made of. */
export interface UserTokenManagerOptions<Clients extends ClientDefinitions> {
  /** Clients by the names that the application calls them. */
  readonly clients: Clients
  /** Where sets rest that belong to a user and to no browser, for {@link UserTokenManager.forSubject}. */
  readonly subjects?: SubjectSessions | undefined
  /** What processes tell each other of refreshes goes through it, for a short while. While it is down sessions that a browser carries are not refreshed; others are. */
  readonly store?: TokenStore | undefined
  /** Held by one process while it spends a refresh token. Default: one of this process. */
  readonly lock?: WithLock | undefined
  /** Makes of a user's claims what is kept with the tokens; asked after a login and after each refresh. */
  readonly transformClaims?: ClaimsTransform | undefined
  /** Asked for every token request of a user, before a token is looked up, and for every revocation. */
  readonly customizeRequest?: UserRequestCustomizer | undefined
  /** Central service for client assertions, asked before a client's own `authentication`. */
  readonly clientAssertion?: ClientAssertionService | undefined
  /** DPoP nonces are shared through it. */
  readonly nonceStore?: NonceStore | undefined
  /** Told of operations and events. */
  readonly telemetry?: Telemetry | undefined
  /** Back-channel requests of all clients that have no `fetch` of their own. Default: the global `fetch`. */
  readonly fetch?: Fetch | undefined
  /** When tokens are renewed, for clients that do not say; `waitBeforeMs` has no meaning for users, whose renewals are waited for. */
  readonly lifetime?: LifetimeOptions | undefined
  /** How long one request to a server may take, in milliseconds. Default 10,000. */
  readonly deadlineMs?: number | undefined
  /** How long `close` waits for what is under way, in milliseconds. Default 10,000. */
  readonly closeMs?: number | undefined
  /** Whether a refresh whose answer got lost is sent once more at once: servers with a grace period answer the same again. Default true. */
  readonly replay?: boolean | undefined
  /** For so long whoever still has the refresh token before finds what came after it, in milliseconds. Default 60,000. */
  readonly graceMs?: number | undefined
  /** So many sessions are remembered in this process between calls. Default 10,000. */
  readonly maxSessions?: number | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

/** The tokens of an application's users, by the names of its clients. */
export interface UserTokenManager<Clients extends ClientDefinitions> {
  /**
   * The tokens of the user whose session it is.
   *
   * @throws ConfigurationError with code `session_invalid` for what is no session; later where it has no id.
   */
  forSession(name: keyof Clients & string, session: SessionTokens): UserTokens
  /**
   * The tokens of a user without a request: in jobs, workers and sockets.
   *
   * @throws ConfigurationError for a subject that is empty or no text, and where there are no `subjects`.
   */
  forSubject(name: keyof Clients & string, subject: string): UserTokens
  /**
   * Refuses new calls, and waits for what is under way, for `closeMs` at most: refreshes and sign-outs. Tokens that the session store has not taken, and tokens that the
   * server has not taken back, are offered once more. Nothing is sent to a server for a refresh after that.
   */
  close(): Promise<void>
}

const DEADLINE_MS = 10_000
const CLOSE_MS = 10_000
const GRACE_MS = 60_000
const MAX_SESSIONS = 10_000
const MEMORY_MS = 60_000

/**
 * Keeps the access tokens of signed-in users alive with their refresh tokens. Nothing is sent before a token is asked for.
 *
 * @throws ConfigurationError that names client and option.
 */
export function createUserTokenManager<const Clients extends ClientDefinitions>(
  options: UserTokenManagerOptions<Clients>,
): UserTokenManager<Clients> {
  checkUserManagerOptions(options)
  const { clock = systemClock, closeMs = CLOSE_MS } = options
  const runDetached = createDetachedRunner()
  const closing = createClosing({ clock, runDetached, closeMs })
  const clients = openUserClients(options, { runDetached, closing })
  let closed: Promise<void> | undefined
  const clientNamed = (name: string): UserClient => {
    const client = clients.get(name)
    if (client !== undefined) return client
    const came = typeof name === 'string' ? `"${name}"` : describe(name)
    throw new ConfigurationError(`expected a client out of ${[...clients.keys()].join(', ')}, got ${came}`, {
      code: 'client_unknown',
    })
  }
  const manager: UserTokenManager<Clients> = {
    forSession(name, session) {
      const client = clientNamed(name)
      assertSession(client.name, session)
      return userTokens(client, session)
    },
    forSubject(name, subject) {
      const client = clientNamed(name)
      if (options.subjects === undefined) {
        throw new ConfigurationError('createUserTokenManager: expected subjects for forSubject, got none', {
          code: 'option_invalid',
        })
      }
      // No default for nobody: an empty user would be everybody's.
      if (typeof subject !== 'string' || subject === '') {
        throw new ConfigurationError(`client "${name}": expected a subject, got ${describe(subject)}`, {
          code: 'subject_invalid',
        })
      }
      const { issuer, tokenEndpoint, clientId } = client.definition
      return userTokens(
        client,
        options.subjects.ofSubject({ issuer: issuer ?? String(tokenEndpoint), clientId, subject }),
        subject,
      )
    },
    close() {
      const all = [...clients.values()]
      for (const client of all) client.close()
      closed ??= closing.close(() => Promise.all(all.map((client) => client.settled())))
      return closed
    },
  }
  keepManaged(manager, { clientNamed, logouts: createLogoutMemory(options) })
  return manager
}

function openUserClients(
  options: UserTokenManagerOptions<ClientDefinitions>,
  { runDetached, closing }: { readonly runDetached: RunDetached; readonly closing: Closing },
): ReadonlyMap<string, UserClient> {
  const { clock = systemClock, deadlineMs = DEADLINE_MS, maxSessions = MAX_SESSIONS, graceMs = GRACE_MS } = options
  const { clientAssertion, transformClaims, customizeRequest } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  const lock = options.lock === undefined ? localLock() : observedLock(options.lock, telemetry)
  const memory = createSharedMemory({ store: options.store, clock, telemetry, graceMs, maxEntries: maxSessions })
  const open = createClientOpener(options, { clock, telemetry })
  return new Map(
    Object.entries(options.clients).map(([name, given]) => {
      const { definition, dpop, oauth, lifetime } = open(name, given)
      const own = definition.authentication
      const env = {
        oauth,
        dpop,
        authenticationFor: (request: TokenRequest) => authenticationFor({ request, service: clientAssertion, own }),
        customized: customizeRequest && customizedBy(customizeRequest, { clientName: name, definition }),
        memory,
        closing,
        lock,
        telemetry,
        isObserved: options.telemetry !== undefined,
        random: secureRandom,
        transformClaims,
        replays: options.replay ?? true,
        deadlineMs,
        renewBeforeMs: lifetime.renewBeforeMs ?? RENEWAL_WINDOWS.renewBeforeMs,
      }
      const memoryMs = lifetime.memoryMs ?? MEMORY_MS
      return [name, new UserClient({ definition, env, runDetached, maxSessions, memoryMs })]
    }),
  )
}
