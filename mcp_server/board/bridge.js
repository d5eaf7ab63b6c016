/* JSON-RPC 2.0 with the host, by postMessage. Only the window around this page is listened to. */
const bridge = (() => {
  const waiting = new Map();
  const handlers = new Map();
  let last = 0;

  const post = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");

  function settle({ id, result, error }) {
    const call = waiting.get(id);
    if (!call) return;
    waiting.delete(id);
    clearTimeout(call.timer);
    if (error) call.reject(new Error(String(error.message ?? "the host refused")));
    else call.resolve(result ?? {});
  }

  function answer({ id, method, params }) {
    const handler = handlers.get(method);
    if (id === undefined) handler?.(params ?? {});
    else if (method === "ping") post({ id, result: {} });
    else if (handler) post({ id, result: handler(params ?? {}) ?? {} });
    else post({ id, error: { code: -32601, message: "Method not found" } });
  }

  window.addEventListener("message", ({ source, data }) => {
    if (source !== window.parent || data?.jsonrpc !== "2.0") return;
    if (typeof data.method === "string") answer(data);
    else settle(data);
  });

  return {
    on: (method, handler) => handlers.set(method, handler),
    notify: (method, params = {}) => post({ method, params }),
    request(method, params, seconds = 60) {
      const id = ++last;
      return new Promise((resolve, reject) => {
        const late = () => settle({ id, error: { message: `no answer in ${seconds} s` } });
        waiting.set(id, { resolve, reject, timer: setTimeout(late, seconds * 1000) });
        post({ id, method, params });
      });
    },
  };
})();
