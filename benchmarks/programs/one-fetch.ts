const [tokenEndpoint = ''] = process.argv.slice(2)
const response = await fetch(tokenEndpoint, {
  method: 'POST',
  headers: { authorization: `Basic ${btoa('bench:not-a-secret')}` },
  body: new URLSearchParams({ grant_type: 'client_credentials' }),
})
await response.json()
process.stdout.write(String(performance.timeOrigin + performance.now()))

export {}
