import { clientSecretBasic, createTokenManager } from 'evertoken'
import { afterEach, expect, test } from 'vitest'
import { type HostileServer, startHostileServer } from '../support/hostile-server.ts'

const servers: HostileServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

test('M5 the first get calls the network, the second does not', async () => {
  const server = await startHostileServer()
  servers.push(server)
  const tokens = createTokenManager({
    clients: {
      catalog: {
        tokenEndpoint: server.tokenEndpoint,
        clientId: 'catalog',
        authentication: clientSecretBasic('secret'),
      },
    },
  })
  const first = await tokens.getToken('catalog')
  const second = await tokens.getToken('catalog')
  expect(first.accessToken).toBe('token-1')
  expect(second).toBe(first)
  expect(server.requests).toHaveLength(1)
  await tokens.close()
})
