// A plotly chart that is fed deltas. Python holds the truth: a view asks for the whole figure when
// it appears, and again whenever it has fallen behind.

const BEHIND = 500; // messages waiting beyond which the whole figure is cheaper

// plotly.js comes over the comm, gzipped, once per page: no request, whatever server shows the page.
function library(model) {
  if (!window.__maxtraderPlotly) {
    window.__maxtraderPlotly = new Promise((resolve, reject) => {
      const take = async (message, buffers) => {
        if (message.type !== "library") return;
        model.off("msg:custom", take);
        try {
          const packed = new Blob([buffers[0]]).stream().pipeThrough(new DecompressionStream("gzip"));
          const source = await new Response(packed).text();
          const module = { exports: {} };
          new Function("module", "exports", "define", source)(module, module.exports, undefined);
          resolve(module.exports.newPlot ? module.exports : window.Plotly);
        } catch (error) {
          window.__maxtraderPlotly = undefined; // the next chart may try again
          reject(error);
        }
      };
      model.on("msg:custom", take);
      model.send({ type: "library?" });
    });
  }
  return window.__maxtraderPlotly;
}

// "marker.color" names a nested property.
function holder(object, path) {
  const parts = path.split(".");
  const last = parts.pop();
  for (const part of parts) object = object[part] ??= {};
  return [object, last];
}

function append(trace, columns, limit) {
  for (const [path, values] of Object.entries(columns)) {
    const [object, name] = holder(trace, path);
    const all = (object[name] ?? []).concat(values);
    object[name] = all.length > limit ? all.slice(all.length - limit) : all;
  }
}

function set(object, values) {
  for (const [path, value] of Object.entries(values)) {
    const [inner, name] = holder(object, path);
    inner[name] = value;
  }
}

async function render({ model, el }) {
  const plot = document.createElement("div");
  plot.className = "mx-plot";
  el.classList.add("mx-chart");
  el.appendChild(plot);

  let Plotly = null;
  let figure = null;
  let waiting = [];
  let drawing = false;
  let scheduled = false;
  let alive = true;

  // Everything that waits goes into one draw, at most one per animation frame.
  const draw = async () => {
    scheduled = false;
    if (drawing || !Plotly || !waiting.length || !alive) return;
    drawing = true;
    const todo = waiting;
    waiting = [];
    try {
      for (const message of todo) {
        if (message.type === "figure") {
          figure = message.figure;
        } else if (figure) {
          for (const [index, columns] of message.append) append(figure.data[index], columns, model.get("window"));
          for (const [index, values] of message.update) set(figure.data[index], values);
          set(figure.layout, message.layout);
        }
      }
      if (figure) {
        figure.layout.datarevision = (figure.layout.datarevision ?? 0) + 1;
        await Plotly.react(plot, figure.data, figure.layout, figure.config);
        plot.dataset.draws = Number(plot.dataset.draws ?? 0) + 1;
      }
    } catch (error) {
      console.error("chart:", error);
    }
    drawing = false;
    schedule();
  };
  const schedule = () => {
    if (waiting.length && !scheduled && alive) {
      scheduled = true;
      requestAnimationFrame(draw);
    }
  };
  const receive = (message) => {
    if (message.type === "figure") waiting = []; // it holds all that came before
    else if (message.type !== "delta") return;
    waiting.push(message);
    if (waiting.length > BEHIND) {
      waiting = [];
      model.send({ type: "figure?" });
    }
    schedule();
  };
  model.on("msg:custom", receive);

  const resized = new ResizeObserver(() => {
    if (Plotly && figure && plot.offsetWidth && plot.offsetHeight) Plotly.Plots.resize(plot);
  });
  resized.observe(plot);

  library(model).then(
    (loaded) => {
      Plotly = loaded;
      if (alive) model.send({ type: "figure?" });
    },
    (error) => {
      plot.textContent = `The chart library did not load: ${error}`;
      console.error("chart:", error);
    },
  );
  return () => {
    alive = false;
    model.off("msg:custom", receive);
    resized.disconnect();
    if (Plotly) Plotly.purge(plot);
  };
}

export default { render };
