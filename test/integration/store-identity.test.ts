import { randomBytes } from 'node:crypto'
import { type ClientDefinition, createTokenManager, type TokenManager, type TokenRequest } from 'evertoken'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest'
import { clientOf, test } from '../support/fixtures.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { type Connection, clientLibraries, hasRedis, type RedisServer, startRedis } from '../support/redis.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = isMissing
  ? 'what a store tells apart (skipped: redis-server is not installed, see test/setup.sh)'
  : 'what a store tells apart'
const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const [library] = clientLibraries

type Process = TokenManager<Readonly<Record<'api', ClientDefinition>>>

/** Answers with metadata of its own, and with tokens that say where they are from. */
function issue(server: HostileServer, name: string): void {
  server.answer = (request) =>
    request.url === '/token'
      ? tokenJson({ access_token: `${name}-${request.n}` })(request)
      : { body: JSON.stringify({ issuer: server.origin, token_endpoint: server.tokenEndpoint }) }
}

const tokenRequests = ({ requests }: HostileServer): number => requests.filter(({ url }) => url === '/token').length

describe.skipIf(isMissing)(title, () => {
  let redis: RedisServer
  const connections: Connection[] = []
  const processes: Process[] = []
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(() => redis.command('FLUSHALL'))
  afterEach(async () => {
    for (const process of processes.splice(0)) await process.close()
    for (const connection of connections.splice(0)) await connection.close()
  })
  afterAll(() => redis?.stop())

  /** A process of its own, as far as tokens go: connection, manager, memory. */
  async function start(api: ClientDefinition): Promise<Process> {
    const connection = await library?.connect(redis.port)
    if (connection === undefined) throw new Error('expected a client library, got none')
    connections.push(connection)
    const store = redisStore(connection.client, { encryption })
    const process = createTokenManager({ clients: { api }, store, lock: redisLock(connection.client) })
    processes.push(process)
    return process
  }

  test('A1.04 two issuers with one client id and one Redis: neither finds what the other has put there', async ({
    server,
    elsewhere,
  }) => {
    issue(server, 'here')
    issue(elsewhere, 'there')
    const { tokenEndpoint: _, ...client } = clientOf(server)
    const fleet = await Promise.all(
      [server, elsewhere, server, elsewhere].map(({ origin }) => start({ ...client, issuer: origin })),
    )
    const got: string[] = []
    for (const process of fleet) got.push((await process.getToken('api')).accessToken.replace(/-\d+$/, ''))
    expect(got).toEqual(['here', 'there', 'here', 'there'])
    // The second process of each has found what the first has put there.
    expect([tokenRequests(server), tokenRequests(elsewhere)]).toEqual([1, 1])
  })

  const requests: readonly { readonly name: string; readonly request: TokenRequest }[] = [
    { name: 'nothing', request: {} },
    { name: 'scope', request: { scope: 'a' } },
    { name: 'scope in capitals', request: { scope: 'A' } },
    { name: 'more scope', request: { scope: 'a b' } },
    { name: 'resource', request: { resource: 'urn:a' } },
    { name: 'resources', request: { resource: ['urn:a', 'urn:b'] } },
    { name: 'audience', request: { parameters: { audience: 'urn:a' } } },
    { name: 'parameter', request: { parameters: { tenant: '1' } } },
    { name: 'another value', request: { parameters: { tenant: '2' } } },
    { name: 'partition', request: { partition: '1' } },
    { name: 'empty partition', request: { partition: '' } },
    { name: 'a|b and c', request: { partition: 'a|b', scope: 'c' } },
    { name: 'a and b|c', request: { partition: 'a', scope: 'b|c' } },
    { name: 'NFC', request: { partition: 'é' } },
    { name: 'NFD', request: { partition: 'e\u0301' } },
  ]

  test('M8 A1.03 everything that shapes a token has an entry of its own, which another process finds', async ({
    server,
  }) => {
    const [one, other] = [await start(clientOf(server)), await start(clientOf(server))]
    const first: string[] = []
    for (const { request } of requests) first.push((await one.getToken('api', request)).accessToken)
    expect(new Set(first).size).toBe(requests.length)
    const second: string[] = []
    for (const { request } of requests.toReversed()) second.unshift((await other.getToken('api', request)).accessToken)
    expect(second).toEqual(first)
    expect(server.requests).toHaveLength(requests.length)
    expect(await redis.command('KEYS', '*:token:*')).toHaveLength(requests.length)
  })

  const definitions: readonly { readonly name: string; readonly members: Partial<ClientDefinition> }[] = [
    { name: 'another client id', members: { clientId: 'other' } },
    { name: 'a client id with a space behind it', members: { clientId: 'machine ' } },
    { name: 'a scope of its own', members: { scope: 'a' } },
    { name: 'an issuer beside its endpoint', members: { issuer: 'https://as.example' } },
    { name: 'narrowed scopes', members: { acceptNarrowedScope: true } },
    { name: 'a parameter of its own', members: { parameters: { tenant: '1' } } },
  ]
  test.for(definitions)(
    'M8 A1.04 a client with $name finds nothing of one without',
    async ({ members }, { server }) => {
      const [one, other] = [await start(clientOf(server)), await start(clientOf(server, members))]
      expect((await one.getToken('api')).accessToken).toBe('token-1')
      expect((await other.getToken('api')).accessToken).toBe('token-2')
      expect((await (await start(clientOf(server, members))).getToken('api')).accessToken).toBe('token-2')
      expect(server.requests).toHaveLength(2)
    },
  )

  test('M8 equal inputs in another order share an entry across processes', async ({ server }) => {
    const [one, other] = [await start(clientOf(server)), await start(clientOf(server, { scope: 'b a' }))]
    const first: TokenRequest = { scope: 'a b', resource: ['urn:a', 'urn:b'], parameters: { x: '1', y: '2' } }
    const second: TokenRequest = { parameters: { y: '2', x: '1', z: '' }, resource: ['urn:b', 'urn:a', 'urn:b'] }
    const { accessToken } = await one.getToken('api', first)
    expect((await other.getToken('api', second)).accessToken).toBe(accessToken)
    expect(server.requests).toHaveLength(1)
  })

  test('A1.09 entries of two users that are swapped in Redis are nobody’s: each gets a new token', async ({
    server,
  }) => {
    const one = await start(clientOf(server))
    const [ann, bob] = [{ partition: 'ann' }, { partition: 'bob' }]
    await one.getToken('api', ann)
    await one.getToken('api', bob)
    const keys = (await redis.command('KEYS', '*:token:*')) as readonly string[]
    expect(keys).toHaveLength(2)
    const [first = '', second = ''] = keys
    const [of, and] = await Promise.all(keys.map((key) => redis.command('GET', key)))
    await redis.command('SET', first, String(and))
    await redis.command('SET', second, String(of))
    const other = await start(clientOf(server))
    const got = [await other.getToken('api', ann), await other.getToken('api', bob)]
    expect(got.map(({ accessToken }) => accessToken)).toEqual(['token-3', 'token-4'])
    // What was swapped is gone, and what replaced it is everybody's again.
    const third = await start(clientOf(server))
    expect((await third.getToken('api', bob)).accessToken).toBe('token-4')
  })
})
