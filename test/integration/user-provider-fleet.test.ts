import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { clientSecretBasic } from 'evertoken'
import { createUserTokenManager, type LoginResponse, storedSessions } from 'evertoken/session'
import { redisRecords } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import type { AuthorizationServer, AuthorizationServerOptions } from '../../demo/authorization-server.ts'
import { rejection, test } from '../support/fixtures.ts'
import { hasRedis, type RedisServer, startRedis } from '../support/redis.ts'
import { startUserProcess } from '../support/user-children.ts'

const SECRET = 'a-long-enough-secret'
const REDIRECT_URI = 'https://app.example/callback'
const RESOURCE = 'urn:api'
const HOUR = 3_600_000

/** Has one confidential client, whose refresh tokens are good for one use. */
function startRotatingProvider(
  startProvider: (options: AuthorizationServerOptions) => Promise<AuthorizationServer>,
): Promise<AuthorizationServer> {
  return startProvider({
    clients: [
      {
        client_id: 'machine',
        client_secret: SECRET,
        redirect_uris: [REDIRECT_URI],
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    resources: { [RESOURCE]: { scope: 'read', lifetimeSeconds: 600 } },
    settings: { rotateRefreshToken: true, issueRefreshToken: async () => true, pkce: { required: () => false } },
  })
}

/** What the token endpoint answers when a user has signed in. */
async function login(provider: AuthorizationServer, accountId: string): Promise<LoginResponse> {
  const code = await provider.issueCode({
    clientId: 'machine',
    redirectUri: REDIRECT_URI,
    resource: RESOURCE,
    accountId,
  })
  return send(provider, { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI })
}

/** A token request that somebody makes by hand. */
async function send({ issuer }: AuthorizationServer, form: Readonly<Record<string, string>>): Promise<LoginResponse> {
  const headers = { authorization: `Basic ${btoa(`machine:${SECRET}`)}` }
  const response = await fetch(`${issuer}/token`, { method: 'POST', headers, body: new URLSearchParams(form) })
  return (await response.json()) as LoginResponse
}

/** Refresh tokens in the order in which they came. */
function spent({ tokenRequests }: AuthorizationServer): readonly unknown[] {
  return tokenRequests.flatMap(({ parameters }) => parameters.refresh_token ?? [])
}

describe.skipIf(!hasRedis && process.env.CI === undefined)('F5.02 U2 U5 a fleet at a real provider', () => {
  const key = randomBytes(32).toString('base64url')
  const children: ChildProcess[] = []
  let redis: RedisServer
  let client: Redis
  beforeEach(async () => {
    redis = await startRedis()
    client = new Redis({ port: redis.port, host: '127.0.0.1' })
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    client.disconnect()
    await redis.stop()
  })

  test('F5.02 U2 U5 4 processes, 10 users, 400 calls, everything expired, a provider that rotates and detects reuse: one refresh for each user, no call that fails, and all of them go on', {
    timeout: 60_000,
  }, async ({ startProvider }) => {
    const provider = await startRotatingProvider(startProvider)
    const subjects = storedSessions(redisRecords(client, { encryption: { keys: [{ id: 'a', key }] } }))
    const authentication = clientSecretBasic(SECRET)
    const tokens = createUserTokenManager({
      subjects,
      clients: { web: { issuer: provider.issuer, clientId: 'machine', authentication } },
    })
    const users = Array.from({ length: 10 }, (_, n) => `user${n}`)
    const logins = await Promise.all(users.map((user) => login(provider, user)))
    for (const [n, user] of users.entries()) {
      const first = logins[n] as LoginResponse
      expect(first.id_token).toEqual(expect.any(String))
      await tokens.forSubject('web', user).adopt({ ...first, receivedAt: Date.now() - HOUR })
    }

    const args = ['redis', String(redis.port), key]
    const fleet = await Promise.all([1, 2, 3, 4].map(() => startUserProcess(provider.issuer, args)))
    children.push(...fleet.map(({ child }) => child))
    for (const { tell } of fleet) tell({ users, calls: 10 })
    const said = await Promise.all(fleet.map(({ next }) => next()))
    const answers = said.flatMap(({ answered }) => answered ?? [])

    expect(answers.filter(({ error }) => error !== undefined)).toEqual([])
    expect(answers).toHaveLength(400)
    // All processes have the same token of a user, it is the one of after the login, and no other user's.
    const texts = users.map((user) => new Set(answers.flatMap((each) => (each.user === user ? each.token : []))))
    expect(texts.map(({ size }) => size)).toEqual(users.map(() => 1))
    expect(new Set([...texts.flatMap((each) => [...each]), ...logins.map((each) => each.access_token)]).size).toBe(20)
    expect([...spent(provider)].sort()).toEqual(logins.map((each) => each.refresh_token).sort())

    // What is kept is the refresh token of now: each session goes on.
    for (const user of users) await tokens.forSubject('web', user).source().getToken({ forceRenewal: true })
    expect(new Set(spent(provider)).size).toBe(20)
    // The server would have told otherwise: a token that comes again ends the session.
    const [first] = logins as [LoginResponse]
    const again = await send(provider, { grant_type: 'refresh_token', refresh_token: String(first.refresh_token) })
    expect(again).toMatchObject({ error: 'invalid_grant' })
    const error = await rejection(tokens.forSubject('web', 'user0').source().getToken({ forceRenewal: true }))
    expect(error).toMatchObject({ name: 'SessionError', reason: 'refresh_token_rejected' })
    await tokens.close()
  })
})
