// One supabase-js client, told what to do: reads lines of JSON, writes lines of JSON.
//
// In: {"ref": 1, "do": "say", "with": ["hello", {"n": 1}]}. Out: {"ref": 1, "result": …} or
// {"ref": 1, "error": "…"}; in between, whatever the channel hears, each with its own `heard`.

import { createInterface } from 'node:readline'

import { createClient } from '@supabase/supabase-js'

const [url, key] = process.argv.slice(2)
const client = createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } })
let channel

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

function good({ data, error }) {
  if (error) throw error
  return data
}

const commands = {
  async sign_in(email, password) {
    return good(await client.auth.signInWithPassword({ email, password })).user.id
  },

  // Resolves with the first state that the channel comes to.
  join(topic, key) {
    const config = { private: true, broadcast: { ack: true, replication_ready: true } }
    channel = client.channel(topic, { config: { ...config, presence: { key } } })
    channel.on('broadcast', { event: '*' }, ({ event, payload }) =>
      write({ heard: 'broadcast', event, payload }),
    )
    channel.on('presence', { event: 'sync' }, () => {
      const state = channel.presenceState()
      const present = Object.keys(state).sort()
      write({ heard: 'presence', present, doing: present.map((one) => state[one][0].doing) })
    })
    channel.on('system', {}, ({ message }) => write({ heard: 'system', message }))
    return new Promise((resolve) => {
      channel.subscribe((state, error) => {
        resolve({ state, error: error?.message ?? null })
        // Whoever is refused would ask again and again.
        if (error) client.removeAllChannels()
      })
    })
  },

  say: (event, payload) => channel.send({ type: 'broadcast', event, payload }),
  track: (state) => channel.track(state),
  leave: () => channel.unsubscribe(),

  async rpc(name, parameters) {
    return good(await client.rpc(name, parameters))
  },

  async select(table, columns, id) {
    return good(await client.from(table).select(columns).eq('id', id))
  },

  async upload(bucket, path, text, contentType) {
    const body = new Blob([text], { type: contentType })
    return good(await client.storage.from(bucket).upload(path, body, { contentType })).fullPath
  },

  async download(bucket, path) {
    const blob = good(await client.storage.from(bucket).download(path))
    return { text: await blob.text(), type: blob.type }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { ref, do: name, with: values } = JSON.parse(line)
  try {
    write({ ref, result: await commands[name](...values) })
  } catch (error) {
    write({ ref, error: error.message })
  }
}
process.exit()
