// Hands a worker a batch of a queue's, as the platform does, and tells what it
// answered: {"outcome", "ackAll", "retryBatch", "explicitAcks", "retryMessages"}.
export default {
  async fetch(request, env) {
    const { queue, messages } = await request.json();
    const timestamp = new Date();
    return Response.json(await env.WORKER.queue(queue, messages.map((message) => ({ ...message, timestamp }))));
  },
};
